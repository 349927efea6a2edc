import { decodeJwt } from 'jose';
import type { JWTPayload } from 'jose';

import type { UnauthenticatedReason } from '#contract/lease.ts';

import { identityLimits } from './identity-limits.ts';

/** What a credential says of itself. Nothing of it is proven; undefined when it is no JWT. */
export function readClaimed(credential: string): JWTPayload | undefined {
  try {
    return decodeJwt(credential);
  } catch {
    return undefined;
  }
}

/** Why a token is refused by its own words, before anybody spends a signature check on it. Claims that are missing refuse nothing here. */
export function refusedByClaims(
  { exp, aud }: JWTPayload,
  audiences: readonly string[],
  nowMs: number,
): UnauthenticatedReason | undefined {
  const toleranceMs = identityLimits.clockToleranceSeconds * 1_000;
  if (typeof exp === 'number' && exp * 1_000 + toleranceMs <= nowMs) return 'TokenExpired';
  if (aud === undefined) return undefined;
  const named: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
  return audiences.some((audience) => named.includes(audience)) ? undefined : 'AudienceMismatch';
}
