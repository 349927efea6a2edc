import { expiryIn } from '../../contract/expiry-headers.ts';
import type { Ladder } from '../../ladder/ladder.ts';
import { goesWithoutKey } from '../../ladder/rungs.ts';
import type { SentKey } from '../../outcomes/outcome-reporter.ts';
import {
  type GrantedKey,
  type Handler,
  isChunks,
  type Layer,
  type OutgoingRequest,
  type ProxyResponse,
} from '../exchange.ts';

export interface Outcomes {
  /** Whether `accepted` is worth calling. */
  readonly isWatching: boolean;
  rejected(key: SentKey): void;
  accepted(key: SentKey): void;
  ends(key: SentKey, endsAt: string): void;
}

/**
 * Looks at the status of the upstream's answer. A 401 is about the key that was sent, or about the one that is missing: the client is
 * told so in our words, and never sees the challenge, which would make it log in at a place that knows nothing of its own credential.
 * 403 and 5xx say nothing about a key. What an upstream says of the end of a key is told to the broker.
 */
export function observe(ladder: Ladder, outcomes: Outcomes): Layer<OutgoingRequest> {
  return (inner) =>
    async function observeResponse(request) {
      const response = await inner(request);
      const { status } = response;
      if (status === 401) return answerRefusal(response, { ladder, outcomes, request, inner });
      noteEnd(response, outcomes, request);
      if (status === 403) response.headers.delete('www-authenticate');
      else if (outcomes.isWatching && status < 300) noteAcceptance(outcomes, request);
      return response;
    };
}

interface Refused {
  readonly ladder: Ladder;
  readonly outcomes: Outcomes;
  readonly request: OutgoingRequest;
  readonly inner: Handler<OutgoingRequest>;
}

function answerRefusal(response: ProxyResponse, refused: Refused): ProxyResponse | Promise<ProxyResponse> {
  const { ladder, outcomes, request } = refused;
  const { permission } = request;
  // Whoever tries a key has to hear this, and it says nothing of the key that the user has.
  if (permission.decision === 'granted' && permission.probe === true) return response;
  if (permission.decision === 'granted' && !hasKey(permission)) return withoutChallenge(response);
  discard(response);
  if (permission.decision !== 'granted') return ladder.answer(request, permission);
  const sent = sentKey(permission);
  if (sent !== undefined) outcomes.rejected(sent);
  if (goesWithoutKey(request.message)) return sendWithoutKey(permission, refused);
  return ladder.answer(request, ladder.rejection(permission), { refusedVersion: permission.keyVersion });
}

/** What is told of it; nothing of a key for discovery, which is nobody's. */
function sentKey({ keySource, ...key }: GrantedKey): SentKey | undefined {
  if (keySource === 'discovery') return undefined;
  return keySource === undefined ? key : { ...key, keySource };
}

/** As if there were none, so that a client with a refused key can still connect, and be asked for another. A 401 did nothing yet. */
async function sendWithoutKey(permission: GrantedKey, { ladder, request, inner }: Refused): Promise<ProxyResponse> {
  const absence = ladder.rejection(permission);
  for (const { name } of permission.headers) request.outgoing.delete(name);
  const response = await inner({ ...request, permission: absence });
  if (response.status !== 401) return response;
  discard(response);
  return ladder.answer(request, absence, { refusedVersion: permission.keyVersion });
}

function hasKey({ headers, keyVersion }: GrantedKey): boolean {
  return headers.length > 0 && keyVersion > 0;
}

/** Nobody's key was sent, so none helps: a server that wants to know who its users are needs a header of theirs declared. */
function withoutChallenge({ headers, body }: ProxyResponse): ProxyResponse {
  headers.delete('www-authenticate');
  return { status: 403, headers, body };
}

function discard({ body }: ProxyResponse): void {
  if (isChunks(body)) body.cancel();
}

/** The client sees it too: it says nothing that its user may not know. */
function noteEnd({ headers }: ProxyResponse, outcomes: Outcomes, { permission }: OutgoingRequest): void {
  if (permission.decision !== 'granted' || !hasKey(permission) || permission.probe === true) return;
  // The broker keeps a record of the keys of users only.
  if (permission.keySource !== undefined) return;
  const endsAt = expiryIn(headers);
  const sent = sentKey(permission);
  if (endsAt !== undefined && sent !== undefined) outcomes.ends(sent, endsAt);
}

/** Lists and the handshake are often answered to anybody, so they prove nothing. */
function noteAcceptance(outcomes: Outcomes, { permission, message }: OutgoingRequest): void {
  if (permission.decision !== 'granted' || !hasKey(permission) || permission.probe === true) return;
  const sent = goesWithoutKey(message) ? undefined : sentKey(permission);
  if (sent !== undefined) outcomes.accepted(sent);
}
