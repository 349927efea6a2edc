import type { LimitRules } from './quota.ts';
import type { ToolRules } from './watch.ts';

/** `POST /v1/leases`: a sidecar asks for the headers of one user at one server. Parsers live in `parse.ts`. */

/** Who a decision is about. `id` is the issuer's stable id (`sub`); `name` is for people. */
export interface Subject {
  readonly issuer: string;
  readonly id: string;
  readonly name: string;
}

export interface ServerRef {
  readonly namespace: string;
  readonly name: string;
}

export interface LeaseRequest {
  readonly server: ServerRef;
  /** What the MCP client showed in `Authorization: Bearer …`, without the scheme. At most 16 KiB. */
  readonly credential: string;
}

/** A header the user has to provide, with what helps them to. */
export interface HeaderHint {
  readonly name: string;
  readonly title?: string;
  readonly help?: string;
  readonly helpURL?: string;
}

export interface LeasedHeader {
  readonly name: string;
  /** The whole field value, template applied. */
  readonly value: string;
  /** Where the user's own part lies in `value`; the rest is the template, which is no secret. Absent: all of it. */
  readonly key?: { readonly start: number; readonly end: number };
}

/** What holds for this user beside the snapshot, by policies that are not for everybody. A change of it ends the lease. */
export interface UserRules {
  /** Every one of these has to let a tool be called, and those of the snapshot. */
  readonly tools?: readonly ToolRules[];
  readonly limits?: LimitRules;
}

/** Whose key it is: the user's own, the organization's for everybody, or one that only serves to learn what a server offers. */
export type KeySource = 'user' | 'shared' | 'discovery';

/** A key that is put into the handshake and into lists alone, never into a call. */
export interface DiscoveryKey {
  readonly leaseId: string;
  readonly keyVersion: number;
  readonly headers: readonly LeasedHeader[];
}

/**
 * Durations, not instants: the two clocks need not agree. `subjectKey` is the opaque id that invalidations name.
 * `credentialMs`: how long the credential still lasts, longer than the lease; absent: its end is not known.
 * `message` is a sentence for a person and never holds a value.
 */
export type LeaseResponse =
  | {
      readonly decision: 'granted';
      readonly leaseId: string;
      readonly subject: Subject;
      readonly subjectKey: string;
      readonly headers: readonly LeasedHeader[];
      readonly keyVersion: number;
      /** This version of the user's own key and all before it were revoked: what was opened with one of them ends at once. Absent: none was. */
      readonly revokedUpTo?: number;
      /** Absent: the user's own. */
      readonly keySource?: 'shared';
      readonly ttlMs: number;
      readonly credentialMs?: number;
      readonly userRules?: UserRules;
      /** To be shown with what is told of this key (`POST /v1/outcomes`). */
      readonly receipt?: string;
      /** The operator tries a key: what the upstream says of it is for the operator, as it is. */
      readonly probe?: true;
    }
  | {
      readonly decision: 'missing' | 'invalid' | 'expired' | 'pendingApproval';
      readonly subject: Subject;
      readonly subjectKey: string;
      readonly hints: readonly HeaderHint[];
      /** What the user can do now, for example the command to run. */
      readonly message: string;
      /** It is about the key of the organization, and no key of the user's own would help. Absent: about the user's own. */
      readonly keySource?: 'shared';
      /** Only of `missing`. */
      readonly discovery?: DiscoveryKey;
      readonly ttlMs: number;
      readonly credentialMs?: number;
      readonly userRules?: UserRules;
    }
  | {
      readonly decision: 'denied';
      readonly subject?: Subject;
      readonly userRules?: UserRules;
      readonly reason: DenyReason;
      readonly message: string;
    }
  | { readonly decision: 'unauthenticated'; readonly reason: UnauthenticatedReason; readonly message: string };

export type DenyReason = 'NamespaceHasNoOrganization' | 'ServerNotFound' | 'KeyUnreadable' | 'AuditUnavailable';

export type UnauthenticatedReason =
  | 'CredentialMissing'
  | 'CredentialMalformed'
  | 'IssuerNotTrusted'
  | 'TokenExpired'
  | 'AudienceMismatch'
  | 'SignatureInvalid'
  | 'ClaimMissing'
  | 'IssuerUnavailable';

/** Longest lease the broker gives, and longest a sidecar may keep one. */
export const leaseTtlMsMax = 30_000;
export const credentialBytesMax = 16_384;
/** Largest `POST /v1/leases` body. */
export const leaseRequestBytesMax = 32_768;

/** Largest `POST /v1/leases` answer, and most headers of one server. */
export const leaseResponseBytesMax = 786_432;
export const headersMax = 32;
/** Largest JSON of the tool rules in a lease. */
export const userToolRulesBytesMax = 131_072;
export const receiptCharsMax = 128;
