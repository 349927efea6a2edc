import { rpcCodes, rpcErrorBody, toolErrorBody } from '../../mcp/answers.ts';
import type { RequestMessage } from '../../mcp/message.ts';
import { isKeyless, toolCall } from '../../mcp/methods.ts';
import type { BoundToSession, HeaderHintText, KeyAbsence, Layer, ProxyResponse } from '../exchange.ts';

/**
 * Answers a request that needs a key the user has not got, in words the person at the client sees. Always HTTP 200: a 4xx is an
 * error of the connection to a client, and its text is not shown. Handshake, discovery, lists and notifications go on without a
 * key, so that a client can connect and learn what there is.
 */
export function answerMissingKey(server: { readonly title: () => string }): Layer<BoundToSession> {
  return (inner) =>
    function answerRequestWithoutKey(request) {
      const { permission, message } = request;
      if (permission.decision === 'granted') return inner(request);
      if (message?.kind !== 'request' || isKeyless(message.method)) return inner(request);
      request.record.decision = 'keyMissing';
      return Promise.resolve(answer(message, permission, server.title()));
    };
}

function answer(message: RequestMessage, absence: KeyAbsence, title: string): ProxyResponse {
  const text = describeAbsence(absence, title);
  const body =
    message.method === toolCall
      ? toolErrorBody(text, message.id, message.era)
      : rpcErrorBody({ code: absences[absence.decision].code, message: text, data: errorData(absence) }, message.id);
  return { status: 200, headers: new Headers({ 'content-type': 'application/json' }), body };
}

const absences: Record<
  KeyAbsence['decision'],
  { readonly code: number; readonly sentence: (title: string) => string }
> = {
  missing: { code: rpcCodes.keyMissing, sentence: (title) => `${title} needs your own key, and you have not set one.` },
  invalid: { code: rpcCodes.keyInvalid, sentence: (title) => `Your key for ${title} was rejected. Set a new one.` },
  expired: { code: rpcCodes.keyExpired, sentence: (title) => `Your key for ${title} has expired. Set a new one.` },
  pendingApproval: {
    code: rpcCodes.keyPendingApproval,
    sentence: (title) => `Your key for ${title} waits for approval.`,
  },
  unreadable: {
    code: rpcCodes.keyUnreadable,
    sentence: (title) => `Your key for ${title} cannot be read. Set it again, or ask your administrator.`,
  },
};

/** What is wrong, which header it is about, where to set it. */
function describeAbsence(absence: KeyAbsence, title: string): string {
  const lines = [absences[absence.decision].sentence(title), ...absence.hints.map(describeHint), absence.message];
  return lines.filter((line) => line !== '').join('\n');
}

function describeHint(hint: HeaderHintText): string {
  const title = hint.title === undefined ? '' : ` (${hint.title})`;
  const parts = [`Header ${hint.name}${title}`, hint.help, hint.helpURL].filter((part) => part !== undefined);
  return parts.join(' - ');
}

function errorData(absence: KeyAbsence): object {
  return { reason: absence.decision, headers: absence.hints };
}
