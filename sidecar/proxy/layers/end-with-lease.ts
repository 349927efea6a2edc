import { type Chunks, tellingEnd } from '../chunks.ts';
import { isChunks, type Layer, type OutgoingRequest } from '../exchange.ts';
import { isEventStream } from '../media-type.ts';
import { userOf } from '../sessions.ts';
import type { StreamLeases } from '../stream-leases.ts';
import { credentialOf } from './identify.ts';
import { isOpenEnded } from './watch-answer.ts';

/**
 * Ends event streams when the login or the key that they were opened with has ended: nothing else would, as a stream may live for days.
 * The client opens the next one, and is told then what is wrong.
 */
export function endWithLease(streams: StreamLeases): Layer<OutgoingRequest> {
  return (inner) =>
    async function endStreamWithLease(request) {
      const response = await inner(request);
      if (!isChunks(response.body) || !isEventStream(response.headers)) return response;
      return { ...response, body: endable(response.body, request, streams) };
    };
}

/** Most answers are over by then, and cost nothing here. */
const shortAnswerMs = 5_000;

function endable(source: Chunks, request: OutgoingRequest, streams: StreamLeases): Chunks {
  const { record, permission, peer } = request;
  let isEnded = false;
  const watch = (): (() => void) =>
    streams.add(
      {
        credential: credentialOf(request.headers),
        peer,
        user: userOf(record.subject),
        subjectKey: permission.subjectKey,
        hasKey: permission.decision === 'granted' && permission.keySource !== 'discovery',
        keyVersion: record.keySource === 'user' ? record.keyVersion : undefined,
      },
      {
        end: (why) => {
          isEnded = true;
          record.decision = why;
          source.cancel();
        },
        goOn: (userRules) => (record.userRules = userRules),
      },
    );
  const watched = tellingEnd(source, isOpenEnded(request) ? watch() : later(watch));
  return {
    async read() {
      if (isEnded) return undefined;
      try {
        return await watched.read();
      } catch (error) {
        if (isEnded) return undefined;
        throw error;
      }
    },
    cancel: () => watched.cancel(),
  };
}

/** The result takes it back, before and after. */
function later(watch: () => () => void): () => void {
  let forget = (): void => clearTimeout(timer);
  const timer = setTimeout(() => (forget = watch()), shortAnswerMs);
  return () => forget();
}
