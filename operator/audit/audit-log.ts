import type { RequestDecision, RequestEvent } from '#contract/audit.ts';
import type { KeySource, ServerRef, Subject } from '#contract/lease.ts';

/** Everything that is recorded. Stable `type`s; no event ever has a place for a key value. */
export type AuditEvent =
  | RequestRecord
  | RefusedRequests
  | LeaseEvent
  | KeyEvent
  | TokenEvent
  | ApprovalEvent
  | DenialEvent;

/** A pod with the sidecar. */
export interface PodOnRecord {
  readonly name: string;
  readonly uid: string;
  /** Absent: that of the server. */
  readonly namespace?: string;
}

interface EventBase {
  readonly id: string;
  /** RFC 3339, UTC, milliseconds. */
  readonly at: string;
  readonly organization?: string;
  readonly server?: ServerRef;
  readonly subject?: Subject;
}

/** What a sidecar reported, and who the broker knows reported it. */
export interface RequestRecord extends RequestEvent {
  readonly organization?: string;
  readonly reportedBy?: PodOnRecord;
}

/**
 * Requests that one pod refused within a minute before a user was known, beyond those that are recorded one by one. Until
 * `complete`, a later event with the same id takes the place of an earlier one: the count goes on.
 */
export interface RefusedRequests extends Omit<EventBase, 'subject'> {
  readonly type: 'request.refused';
  readonly reportedBy: PodOnRecord;
  readonly count: number;
  /** The count by decision. */
  readonly decisions: Readonly<Partial<Record<RequestDecision, number>>>;
  /** Arrival of the first and of the last request. */
  readonly firstAt: string;
  readonly lastAt: string;
  /** The minute is over. */
  readonly complete: boolean;
}

/** A key was handed to a sidecar. Durable before the lease is answered. */
export interface LeaseEvent extends EventBase {
  readonly type: 'lease';
  readonly leaseId: string;
  readonly keyVersion: number;
  /** Whose key. Absent: none, as the server needs none. */
  readonly keySource?: KeySource;
  readonly headerNames: readonly string[];
  readonly pod: PodOnRecord & { readonly node?: string };
  /** `credential-id` (JTI) of the pod token, where the API server gives one. */
  readonly podCredentialId?: string;
}

export interface KeyEvent extends EventBase {
  readonly type: 'key.set' | 'key.delete' | 'key.destroyed' | 'key.rejected' | 'key.probed' | 'key.revoked';
  /** Of `key.revoked`: what was in use. */
  readonly keyVersion?: number;
  /** Absent: the user's own. */
  readonly keySource?: 'shared';
  readonly headerNames: readonly string[];
  /** Only of `key.probed`: what was found out (`none`: nothing), and why; of `key.revoked`, why in the words of who did it. */
  readonly verdict?: string;
  readonly reason?: string;
  /** Only of `key.revoked`, of one that held a value that has leaked. */
  readonly fingerprint?: string;
  /** Who did it, as the API server or the issuer names them. */
  readonly actor: string;
}

export interface TokenEvent extends Omit<EventBase, 'server'> {
  readonly type: 'token.created' | 'token.used' | 'token.revoked';
  readonly namespace: string;
  /** Name of the AccessToken; neither the token nor its hash. */
  readonly token: string;
  /** At which it is accepted. */
  readonly servers: readonly string[];
  readonly actor: string;
}

/** A user asked to have a key where a policy asks for approval, or somebody decided about it. */
export interface ApprovalEvent extends EventBase {
  readonly type: 'approval.requested' | 'approval.granted' | 'approval.refused';
  /** When a grant ends; absent: never. */
  readonly until?: string;
  /** In the words of who asked or decided. */
  readonly reason?: string;
  /** Who decided, and those of their groups that policies want approvers to be in. */
  readonly approver?: Subject;
  readonly groups?: readonly string[];
  /** The user of the cluster who ordered it. */
  readonly actor: string;
}

export interface DenialEvent extends EventBase {
  readonly type: 'denied';
  /** What was asked for: `lease`, `watch`, `audit`, `outcomes`, `user-key-request`. */
  readonly action: string;
  readonly reason: string;
  readonly message: string;
}

export interface AuditLog {
  /** Resolves once the event is on disk; rejects when it cannot be (then nothing may be handed out). */
  append(event: AuditEvent): Promise<void>;
  /** The same for many; an id that is there already counts as accepted. Resolves the number accepted. */
  appendAll(events: readonly AuditEvent[]): Promise<number>;
  /** Newest first. */
  recent(limit: number): readonly AuditEvent[];
  close(): Promise<void>;
}
