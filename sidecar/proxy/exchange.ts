import type { HttpMethod, RequestDecision } from '../contract/audit.ts';
import type { DiscoveryKey, KeySource, LeaseResponse, Subject, UserRules } from '../contract/lease.ts';
import type { Message } from '../mcp/message.ts';
import type { Fields } from '../http1/fields.ts';
import type { LeavingSignal } from '../http1/leaving.ts';
import type { Chunks } from './chunks.ts';
import type { Session } from './sessions.ts';

/**
 * The proxy's own request and response. A request gains what each layer establishes, so that the compiler keeps the order of the
 * stack: a layer that needs the message cannot stand before the one that parses it.
 */

export interface IncomingRequest {
  readonly method: string;
  readonly path: string;
  /** With its `?`, or empty. */
  readonly query: string;
  readonly headers: Fields;
  readonly body: BodySource;
  /** Where the connection comes from: an address, of IPv6 the network. Never what a header says. */
  readonly peer: string;
  /** Aborts when the client goes away. */
  readonly signal: LeavingSignal;
  readonly record: RequestRecord;
}

export interface BodySource {
  /** `Content-Length`; absent for a chunked body. The HTTP parser keeps the client to it. */
  readonly declaredBytes: number | undefined;
  /** The whole body where all of it is here already; then there is nothing to be read. */
  here(): Uint8Array | undefined;
  /** To be read once. */
  chunks(): Chunks;
}

/** Decisions that let a request go on; the others end in an error. */
export type Permission = GrantedKey | KeyAbsence;

export type GrantedKey = Omit<Extract<LeaseResponse, { decision: 'granted' }>, 'keySource'> & {
  /** Absent: the user's own. */
  readonly keySource?: Exclude<KeySource, 'user'>;
  /** What there would be without the key for discovery. */
  readonly otherwise?: KeyAbsence;
};

/** The user is known, and there is no key to attach. */
export interface KeyAbsence {
  readonly decision: 'missing' | 'invalid' | 'expired' | 'pendingApproval' | 'unreadable';
  /** Opaque id of the user. */
  readonly subjectKey?: string;
  readonly hints: readonly HeaderHintText[];
  readonly message: string;
  /** It is about the key that all users share, and none of their own would help. */
  readonly keySource?: 'shared';
  /** Not for calls. */
  readonly discovery?: DiscoveryKey;
}

export interface HeaderHintText {
  readonly name: string;
  readonly title?: string;
  readonly help?: string;
  readonly helpURL?: string;
}

export type IdentifiedRequest = IncomingRequest & { readonly permission: Permission };

export type BoundedRequest = IdentifiedRequest & { readonly bytes: Uint8Array };

/** `message` is absent for GET and DELETE. */
export type ClassifiedRequest = BoundedRequest & { readonly message: Message | undefined };

/** `session` is the one that the client shows, where it is remembered; it is this user's. */
export type BoundToSession = ClassifiedRequest & {
  readonly session: Session | undefined;
  /** Where a message of the transport of 2024-11-05 goes, whose answer comes on a stream; otherwise the endpoint itself. */
  readonly messagePath: string | undefined;
  /** How often the client was asked for the key in this call. */
  readonly asked?: number;
};

/** `outgoing` are the headers for the upstream, this request's own: the layers from here on change them in place. */
export type OutgoingRequest = BoundToSession & { readonly outgoing: Fields };

/** `headers` are this response's own. */
export interface ProxyResponse {
  readonly status: number;
  readonly headers: Fields;
  readonly body: Uint8Array | Chunks | undefined;
}

export type Handler<R> = (request: R) => Promise<ProxyResponse>;

/**
 * Takes an `Outer` request and hands the next layer an `Inner` one, which has at least as much. A layer that waits for nothing is
 * no async function, as that would cost a promise a request; what it throws reaches `rescue` all the same.
 */
export type Layer<Outer, Inner = Outer> = (inner: Handler<Inner>) => Handler<Outer>;

/** What is remembered of a request until it ends: written by the layers that learn it, read by audit and metrics. */
export interface RequestRecord {
  /** UUID; the id of the audit event. */
  readonly id: string;
  readonly at: string;
  readonly startedMs: number;
  readonly httpMethod: HttpMethod;
  requestBytes: number;
  subject: Subject | undefined;
  /** What holds for the user beside the policy of the server; of now, also while a stream is open. */
  userRules: UserRules | undefined;
  leaseId: string | undefined;
  keyVersion: number | undefined;
  keySource: KeySource | undefined;
  /** The user has no key, and learns with that of the organization what there is. */
  isDiscovering: boolean;
  message: Message | undefined;
  sessionIdHash: string | undefined;
  /** The header of the client; what the message says of it comes first. */
  traceparent: string | undefined;
  decision: RequestDecision;
  /** Milliseconds; `undefined` when nothing was sent to the upstream, or it did not answer. */
  upstreamFirstByteMs: number | undefined;
  /** What the upstream answered last, whatever the client is told; `undefined` while it was not asked. */
  upstreamStatus: number | undefined;
  /** What the upstream's answer says of itself, where it was seen. */
  rpcStatus: number | undefined;
  isError: boolean | undefined;
  begunTaskId: string | undefined;
  /** How often the upstream sent the user's key back, and it was masked. */
  echoes: number;
  /** Puts the opening of a stream on record; false when there is no place for that. */
  reportOpen: (() => boolean) | undefined;
  /** The stream's opening is on record, so its end is a second event. */
  isOpen: boolean;
  /** Sessions that this request has ended, or during which it was found that they have. */
  endedSessions: readonly EndedSession[] | undefined;
  /** Says when the end may be told, where the answer comes on another connection. */
  putOffEnd: ((tell: () => void) => void) | undefined;
  /** Called once each, when the last byte of the response is out or the client has gone. */
  readonly whenEnded: ((ended: EndedRequest) => void)[];
}

export interface EndedSession {
  /** On the clock of `startedMs`. */
  readonly begunMs: number;
  /** Undefined: together with the request. */
  readonly endedMs: number | undefined;
  /** As the client said it. */
  readonly protocolVersion: string | undefined;
  /** The server did not know the session any more. */
  readonly errorType: '404' | undefined;
}

export interface EndedRequest {
  readonly record: RequestRecord;
  readonly httpStatus: number;
  readonly responseBytes: number;
  readonly durationMs: number;
}

/** Whether a body comes bit by bit. */
export function isChunks(body: ProxyResponse['body']): body is Chunks {
  return body !== undefined && !(body instanceof Uint8Array);
}
