import { keyEndMsMax } from '#cli/contract/expiry-text.ts';
import type { SetControl } from '#cli/contract/request-control.ts';
import type { HeaderField } from '#cli/contract/header-list.ts';
import type { Refusal } from '#cli/contract/responses.ts';
import { jwtExpiryMs } from '#operator/key-state/jwt-expiry.ts';

import { endInThePast, hasEnded, refusals } from './refusals.ts';

export type DeclaredEnd =
  | { readonly kind: 'ends'; readonly atMs: number }
  | { readonly kind: 'never' }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

/** Pure. When the user says that the key ends, by the clock of the operator. */
export function declaredEnd({ expiresAt, lifeSeconds }: SetControl, now: Date): DeclaredEnd {
  if (expiresAt === undefined && lifeSeconds === undefined) return { kind: 'never' };
  const atMs = lifeSeconds === undefined ? Date.parse(expiresAt ?? '') : now.getTime() + lifeSeconds * 1_000;
  if (Number.isNaN(atMs) || atMs > keyEndMsMax) return { kind: 'refused', refusal: refusals.endTooFar };
  if (atMs <= now.getTime()) return { kind: 'refused', refusal: endInThePast(new Date(atMs), now) };
  return { kind: 'ends', atMs };
}

/** Pure. Why not even to store the values: one of them says itself that it has ended, so its upstream would refuse it. */
export function endedValue(fields: readonly HeaderField[], now: Date): Refusal | undefined {
  for (const { name, value } of fields) {
    const atMs = jwtExpiryMs(value);
    if (atMs !== undefined && atMs <= now.getTime()) return hasEnded(name, new Date(atMs));
  }
  return undefined;
}
