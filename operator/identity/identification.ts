import type { Subject, UnauthenticatedReason } from '#contract/lease.ts';

import type { GroupClaim } from './group-claims.ts';

/** What a user credential proves. `unauthenticated` is a result; rejecting means that nobody could be asked. */
export type Identification =
  | {
      readonly kind: 'identified';
      readonly subject: Subject;
      /** At most 256 of at most 256 characters; all that there are. */
      readonly groups: readonly string[];
      /** When the credential itself ends; nothing that rests on it lasts longer. Absent: it does not say. */
      readonly expiresAtMs?: number;
    }
  | { readonly kind: 'unauthenticated'; readonly reason: UnauthenticatedReason; readonly message: string };

/** One trusted issuer of an organization, CA resolved. */
export type TrustedIssuer =
  | {
      readonly type: 'OIDC';
      readonly name: string;
      readonly issuerURL: string;
      readonly audiences: readonly string[];
      /** What clients ask it for; it changes nothing of which tokens are accepted. */
      readonly scopes?: readonly string[];
      readonly claims: GroupClaim & { readonly subject: string; readonly name: string };
      /** PEM; absent: the system's roots. */
      readonly caBundle?: string;
    }
  | { readonly type: 'Kubernetes'; readonly name: string; readonly audiences: readonly string[] };

/** Implemented in `identity/`; used by intake (CLI), and in two steps by the broker (MCP clients). */
export interface UserIdentifier {
  /** `credential` is a bearer token without its scheme. */
  identify(credential: string, issuers: readonly TrustedIssuer[]): Promise<Identification>;
}

/** What it takes to prove a credential. Nobody has been asked yet, so that whoever holds it can bound what strangers cause. */
export type Proof =
  /** What the credential says of itself refuses it: no signature was checked. */
  | { readonly kind: 'settled'; readonly result: Identification }
  /** The public keys of an issuer, in this process. */
  | { readonly kind: 'keys'; readonly prove: () => Promise<Identification> }
  /** A question to the API server. */
  | {
      readonly kind: 'review';
      readonly prove: () => Promise<Identification>;
      /** Whether this cluster made the token; false when that cannot be told in this process. */
      readonly isOurs: () => Promise<boolean>;
    };

/** The first of the two steps of `UserIdentifier.identify`. */
export interface UserProver {
  proofOf(credential: string, issuers: readonly TrustedIssuer[]): Proof;
}
