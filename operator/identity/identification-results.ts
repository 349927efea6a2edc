import type { UnauthenticatedReason } from '#contract/lease.ts';

import type { Identification } from './identification.ts';

/** What the person reads. Constant sentences: nothing of the credential is repeated. */
const messages: Record<UnauthenticatedReason, string> = {
  CredentialMissing:
    'No credential was sent. Send a token of your identity provider as "Authorization: Bearer <token>".',
  CredentialMalformed: 'The credential is not a token that can be read.',
  IssuerNotTrusted: 'The token is from an issuer that this organization does not trust.',
  TokenExpired: 'The token has expired or is not valid yet. Sign in again.',
  AudienceMismatch: 'The token was issued for another audience.',
  SignatureInvalid: 'The token could not be verified with the keys of its issuer.',
  ClaimMissing:
    'The token lacks a claim that names the user or ends its life, or it does not hold all groups of the user.',
  IssuerUnavailable: 'The issuer of the token cannot be reached, so nobody can be identified. Try again.',
};

export function unauthenticated(reason: UnauthenticatedReason): Identification {
  return { kind: 'unauthenticated', reason, message: messages[reason] };
}
