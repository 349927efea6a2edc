import type { ValueEnds } from '#operator/keystore/value-ends.ts';
import type { ExpiryRules } from '#operator/policy/expiry-rules.ts';

import { endsOf, type ExpiryReason, type KeyEnd } from './key-ends.ts';

/** How a key stands by its age. */
export type KeyAge =
  /** Nothing bounds it. */
  | { readonly kind: 'unbounded' }
  | {
      readonly kind: 'fresh' | 'expiring';
      readonly expiresAtMs: number;
      readonly reason: ExpiryReason;
      /** When it is another kind. */
      readonly nextChangeAtMs: number;
      /** Whether it is used after `expiresAtMs`. */
      readonly isBlockedThen: boolean;
      /** When it is used no more, be it for another reason. */
      readonly blockedAtMs?: number;
    }
  | {
      readonly kind: 'expired';
      readonly expiresAtMs: number;
      readonly reason: ExpiryReason;
      readonly isBlocked: boolean;
      /** When it is used no more; where policies only warn of what has passed, something else may end it yet. */
      readonly blockedAtMs?: number;
    };

/** A key, as far as its age is decided by it. A stored key is one, and an opened one too. */
export interface AgedKey {
  /** The time at which it was sealed, and sealed with it: nobody makes a key younger by writing a date. */
  readonly version: number;
  readonly ends?: readonly ValueEnds[];
}

/**
 * Pure. Time moves it from fresh over expiring to expired, and a newer version, another policy or another answer of the upstream back,
 * nothing else. Whether a key is used is decided by this at the time of use, and not by a status that may be behind.
 */
export function keyAge(key: AgedKey, rules: ExpiryRules | undefined, nowMs: number): KeyAge {
  const ends = endsOf(key, rules);
  const [first] = ends;
  if (first === undefined) return { kind: 'unbounded' };
  const blocking = ends.find(({ blocks }) => blocks);
  const bound = blocking === undefined ? {} : { blockedAtMs: blocking.atMs };
  if (blocking !== undefined && nowMs >= blocking.atMs)
    return { ...factsOf(blocking), ...bound, kind: 'expired', isBlocked: true };
  if (nowMs >= first.atMs) return { ...factsOf(first), ...bound, kind: 'expired', isBlocked: false };
  const before = { ...factsOf(first), ...bound, isBlockedThen: first.blocks };
  return nowMs >= first.warnsAtMs
    ? { ...before, kind: 'expiring', nextChangeAtMs: first.atMs }
    : { ...before, kind: 'fresh', nextChangeAtMs: first.warnsAtMs };
}

function factsOf({ atMs, reason }: KeyEnd): { readonly expiresAtMs: number; readonly reason: ExpiryReason } {
  return { expiresAtMs: atMs, reason };
}

/** As RFC 3339; undefined when nothing bounds its age. */
export function expiresAtOf(age: KeyAge): string | undefined {
  return age.kind === 'unbounded' ? undefined : new Date(age.expiresAtMs).toISOString();
}

/** When no copy may be used any more, in milliseconds since 1970. */
export function blockedAtMs(age: KeyAge): number | undefined {
  return age.kind === 'unbounded' ? undefined : age.blockedAtMs;
}

/** When time alone makes something else of it. */
export function nextChangeAtMs(age: KeyAge): number | undefined {
  switch (age.kind) {
    case 'unbounded':
      return undefined;
    case 'fresh':
    case 'expiring':
      return age.nextChangeAtMs;
    case 'expired':
      return age.isBlocked ? undefined : age.blockedAtMs;
  }
}
