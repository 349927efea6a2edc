import type { Ladder } from '../../ladder/ladder.ts';
import type { Resumption } from '../../ladder/resume.ts';
import { goesWithoutKey } from '../../ladder/rungs.ts';
import type { BoundToSession, Layer } from '../exchange.ts';

/**
 * Answers a request that needs a key the user has not got, so that the client leads its user to one, and takes it up again when the
 * client comes back. Handshake, discovery, lists and notifications go on without a key, so that a client can connect and learn what
 * there is.
 */
export function answerMissingKey(ladder: Ladder, resumption: Resumption): Layer<BoundToSession> {
  return (inner) =>
    function answerRequestWithoutKey(request) {
      const retry = ladder.readRetry(request);
      if (retry !== undefined) return resumption.resume(request, retry, inner);
      const { permission, message } = request;
      if (permission.decision === 'granted' || goesWithoutKey(message)) return inner(request);
      return Promise.resolve(ladder.answer(request, permission));
    };
}
