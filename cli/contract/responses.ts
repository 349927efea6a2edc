import type { ApprovalAnswer } from './approval-responses.ts';
import type { KeyFormat } from './key-value.ts';

/** What the operator answers to a request. Read by the CLI; never holds a key value. */

/** Why a request was refused. Stable; each has a message for the user beside it. */
export type RefusalCode =
  | 'RequestMalformed'
  | 'NamespaceHasNoOrganization'
  | 'NamespacesConflict'
  | 'Unauthenticated'
  | 'IdentityUnavailable'
  | 'Forbidden'
  | 'RightsUnavailable'
  | 'ServerNotFound'
  | 'ServerNeedsNoKey'
  | 'HeaderNotDeclared'
  | 'HeaderMissing'
  | 'InvalidFormat'
  | 'ExpiryRefused'
  | 'TooLarge'
  | 'TooManyRequests'
  | 'KeyRejected'
  | 'KeyNotChecked'
  | 'StoreUnavailable'
  | 'TokenRefused'
  | 'KeyNotFound'
  | 'UserAmbiguous'
  | 'ApprovalNotNeeded'
  | 'ApprovalRefused'
  | 'ApprovalChanged'
  | 'ApproverRefused';

/** As in the status of a UserKey. */
export type KeyStateName =
  | 'Configured'
  | 'Missing'
  | 'Invalid'
  | 'Expired'
  | 'Expiring'
  | 'NeedsUpdate'
  | 'PendingApproval'
  | 'Revoked'
  | 'Unverified';

export interface HeaderState {
  readonly name: string;
  readonly required: boolean;
  readonly state: KeyStateName;
  /** When the value ends, as its user said. */
  readonly declaredExpiresAt?: string;
  /** When the value ends, as it says itself, or its upstream does. */
  readonly detectedExpiresAt?: string;
}

/** A declared header, with what helps the user to provide it and what the CLI checks early. */
export interface DeclaredHeader extends HeaderState, KeyFormat {
  readonly name: string;
  readonly title?: string;
  readonly help?: string;
  readonly helpURL?: string;
}

/**
 * One server as its user sees it. `state` is about the required headers; `Invalid`: the upstream refuses the key that is set;
 * `Unverified`: it was not found out yet whether it takes it.
 */
export interface ServerState<Header extends HeaderState = HeaderState> {
  readonly server: string;
  readonly title?: string;
  readonly state: HeaderState['state'] | 'NotNeeded';
  readonly version?: number;
  readonly setAt?: string;
  /** The first of when its user said that it ends, when the value or its upstream says so, and the age that policies let it have. */
  readonly expiresAt?: string;
  /** Which of them. */
  readonly expiryReason?: 'DeclaredExpiry' | 'DetectedExpiry' | 'MaxAge';
  /** When a proxy got it last, some minutes behind. Absent: not yet, in this version. */
  readonly usedAt?: string;
  readonly headers: readonly Header[];
}

/** What trying a key at its upstream has shown. No verdict: nothing was found out. */
export interface KeyCheck {
  readonly verdict?: 'Accepted' | 'Rejected' | 'InsufficientScope';
  /** CamelCase, of a closed set. */
  readonly reason: string;
  readonly message: string;
  /** What the administrator says of the key to make. */
  readonly help?: string;
}

interface Ok {
  readonly v: 1;
  readonly outcome: 'ok';
  /** Who the operator takes the requester for. */
  readonly subject: { readonly issuer: string; readonly name: string };
}

export type UserKeyResponse =
  | (Ok & {
      readonly operation: 'set';
      readonly key: ServerState;
      readonly notices: readonly string[];
      /** Absent: it was not tried. */
      readonly check?: KeyCheck;
    })
  | (Ok & {
      readonly operation: 'test';
      readonly server: string;
      readonly tried: 'given' | 'stored';
      /** Absent: no policy says how. */
      readonly check?: KeyCheck;
    })
  | (Ok & { readonly operation: 'delete'; readonly server: string; readonly deleted: boolean })
  | (Ok & { readonly operation: 'list'; readonly keys: readonly ServerState[]; readonly more: number })
  | (Ok & { readonly operation: 'token-create'; readonly token: TokenView })
  | (Ok & { readonly operation: 'token-list'; readonly tokens: readonly TokenView[] })
  | (Ok & { readonly operation: 'token-revoke'; readonly id: string; readonly revoked: boolean })
  | (Ok & RevokeAnswer)
  | (Ok & ApprovalAnswer)
  | (Ok & { readonly operation: 'status'; readonly key: ServerState<DeclaredHeader> })
  | Refusal;

/** Which keys are out of use now. */
export interface RevokeAnswer {
  readonly operation: 'revoke';
  readonly revoked: readonly RevokedKey[];
  /** How many there are beyond those that are listed. */
  readonly more: number;
  /** Of the value that has leaked; other namespaces of the organization know it by the same. */
  readonly fingerprint?: string;
  /** Servers that were not searched: the requester may not revoke keys there. */
  readonly leftOut: readonly string[];
  /** Keys that do not open, so that nobody can say what they hold. They are not handed out either. */
  readonly unread: number;
}

export interface RevokedKey {
  readonly server: string;
  readonly user: { readonly issuer: string; readonly name: string };
  /** What was in use. Absent: nothing was. */
  readonly version?: number;
}

/** An access token as its user sees it after it was made. */
export interface TokenView {
  readonly id: string;
  readonly title?: string;
  readonly servers: readonly string[];
  readonly createdAt?: string;
  readonly expiresAt: string;
  readonly usedAt?: string;
}

export interface Refusal {
  readonly v: 1;
  readonly outcome: 'refused';
  readonly code: RefusalCode;
  /** What is wrong and what to do. */
  readonly message: string;
  /** Names the user may have meant, nearest first. */
  readonly suggestions?: readonly string[];
}
