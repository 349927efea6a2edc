// Generated from crds/userkeys.yaml by crds/generate.ts; edit that file.
import type { Condition, ObjectMeta } from '../object.ts';

/** The state of one user's key at one McpServer. Written by the operator; it never holds a value. */
export interface UserKey {
  readonly apiVersion: 'mcpkeyring.io/v1alpha1';
  readonly kind: 'UserKey';
  readonly metadata: ObjectMeta;
  readonly spec: UserKeySpec;
  readonly status?: UserKeyStatus;
}

export interface UserKeyServerRef {
  readonly name: string;
}

export interface UserKeySubject {
  /** The issuer URL of the user's identity provider; kubernetes for users of this cluster. */
  readonly issuer: string;
  /** Stable id of the user at that issuer. */
  readonly id: string;
  /** What people see. It may change. */
  readonly name: string;
}

export interface UserKeySpec {
  /** The McpServer, in the same namespace. */
  readonly serverRef: UserKeyServerRef;
  /** The user. */
  readonly subject: UserKeySubject;
}

export interface UserKeyRejected {
  readonly version: number;
  readonly at: string;
}

export interface UserKeyRevoked {
  readonly version: number;
  readonly at: string;
  /** Who revoked it, as the API server or the issuer names them. */
  readonly by: string;
  /** In the words of who revoked it. Never a value. */
  readonly reason?: string;
}

export interface UserKeyDetected {
  /** Version of the key that it was about. Of another one it says nothing. */
  readonly version: number;
  readonly expiresAt: string;
  /** When it was heard. */
  readonly at: string;
}

export interface UserKeyVerification {
  /** Version of the key that was probed. Of another one it says nothing. */
  readonly version: number;
  /** That of the last probe that had one; Unverified while none has. */
  readonly verdict: 'Accepted' | 'Rejected' | 'InsufficientScope' | 'Unverified';
  /** When the verdict was found. */
  readonly at?: string;
  /** Probes in a row that the key has failed. */
  readonly failures: number;
  /** What the last probe said. Never a value. */
  readonly message?: string;
  /** When the key is probed again. */
  readonly nextAt?: string;
}

export interface UserKeyRenewal {
  /** When it was asked for. */
  readonly at: string;
  /** In the words of the user. Never a value. */
  readonly reason?: string;
}

export interface UserKeyApproval {
  readonly state: 'Requested' | 'Granted' | 'Refused';
  /** When it was asked for or decided. */
  readonly at: string;
  /** Who decided, as the API server or the issuer names them. */
  readonly by?: string;
  /** When a grant ends; absent means never. */
  readonly until?: string;
  /** In the words of who asked or decided. Never a value. */
  readonly reason?: string;
  /** Its user asks for more while a grant goes on; it says nothing against the grant. */
  readonly renewal?: UserKeyRenewal;
}

export interface UserKeyStatusSubject {
  /** Those of the user's groups that policies of this namespace name. */
  readonly groups: readonly string[];
  readonly seenAt: string;
}

export interface UserKeyHeader {
  readonly name: string;
  readonly state:
    | 'Configured'
    | 'Missing'
    | 'Invalid'
    | 'Expired'
    | 'Expiring'
    | 'NeedsUpdate'
    | 'PendingApproval'
    | 'Revoked'
    | 'Unverified';
  readonly reason?: string;
  /** Key version that this header's value came with. */
  readonly version?: number;
  /** Keyed hash of the value; equal values of one user give equal fingerprints. */
  readonly fingerprint?: string;
  readonly setAt?: string;
  /** The first of declaredExpiresAt, detectedExpiresAt and the age that policies let it have. */
  readonly expiresAt?: string;
  /** When the value ends, as its user said. */
  readonly declaredExpiresAt?: string;
  /** When the value ends, as it says itself, or its upstream does. */
  readonly detectedExpiresAt?: string;
  readonly checkedAt?: string;
  /** The same of this header. Absent while its value was not handed out yet. */
  readonly usedAt?: string;
}

export interface UserKeyStatus {
  /** The generation of spec that the rest of the status is about. */
  readonly observedGeneration?: number;
  /** The worst state of any header that is required. */
  readonly state?:
    | 'Configured'
    | 'Missing'
    | 'Invalid'
    | 'Expired'
    | 'Expiring'
    | 'NeedsUpdate'
    | 'PendingApproval'
    | 'Revoked'
    | 'Unverified';
  /** Version of the key that was set last: the time at which it was sealed, in milliseconds since 1970. An older sealed Secret is not opened, and none at all while this is absent. */
  readonly version?: number;
  /** The newest version that the upstream has refused with 401. Unless a newer one is set, the key is Invalid. */
  readonly rejected?: UserKeyRejected;
  /** The newest version that was revoked. Neither it nor an older one is ever opened again, whatever is put back; a newer one works. */
  readonly revoked?: UserKeyRevoked;
  /** When the upstream said last that the key ends, in a header of an answer. */
  readonly detected?: UserKeyDetected;
  /** What the last probe of the key found out at the upstream. */
  readonly verification?: UserKeyVerification;
  /** Whether the user may have a key here, where a policy asks for approval. It is about the user at the server, not about one key. */
  readonly approval?: UserKeyApproval;
  /** What was last seen of the user. Policies for groups are decided by it while the user is not there. */
  readonly subject?: UserKeyStatusSubject;
  /** The first of when its user said that it ends, when the value or its upstream says so, and the age that policies let it have. */
  readonly expiresAt?: string;
  /** When the key was last handed to a proxy, ten minutes or so behind. */
  readonly usedAt?: string;
  readonly headers?: readonly UserKeyHeader[];
  readonly conditions?: readonly Condition[];
}
