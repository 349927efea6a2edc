import type { ExpiryRules } from '#operator/policy/expiry-rules.ts';

/** How a key stands by its age. */
export type KeyAge =
  /** No policy bounds it. */
  | { readonly kind: 'unbounded' }
  | {
      readonly kind: 'fresh' | 'expiring';
      readonly expiresAtMs: number;
      /** When it is another kind. */
      readonly nextChangeAtMs: number;
      /** Whether it is used after `expiresAtMs`. */
      readonly isBlockedThen: boolean;
    }
  | { readonly kind: 'expired'; readonly expiresAtMs: number; readonly isBlocked: boolean };

/**
 * Pure. Time moves it from fresh over expiring to expired, and a newer version or another policy back, nothing else. Whether a key is
 * used is decided by this at the time of use, and not by a status that may be behind.
 */
export function keyAge(version: number, rules: ExpiryRules | undefined, nowMs: number): KeyAge {
  if (rules === undefined) return { kind: 'unbounded' };
  // A version is the time at which it was sealed, and it is sealed with it: nobody makes a key younger by writing a date.
  const expiresAtMs = Math.min(version + rules.maxAgeMs.value, timeMsMax);
  const isBlocked = rules.onExpired.value === 'Block';
  if (nowMs >= expiresAtMs) return { kind: 'expired', expiresAtMs, isBlocked };
  const warnsAtMs = expiresAtMs - rules.warnBeforeMs.value;
  return nowMs >= warnsAtMs
    ? { kind: 'expiring', expiresAtMs, nextChangeAtMs: expiresAtMs, isBlockedThen: isBlocked }
    : { kind: 'fresh', expiresAtMs, nextChangeAtMs: warnsAtMs, isBlockedThen: isBlocked };
}

/** As RFC 3339; undefined when no policy bounds its age. */
export function expiresAtOf(age: KeyAge): string | undefined {
  return age.kind === 'unbounded' ? undefined : new Date(age.expiresAtMs).toISOString();
}

/** When no copy may be used any more, in milliseconds since 1970. */
export function blockedAtMs(age: KeyAge): number | undefined {
  switch (age.kind) {
    case 'unbounded':
      return undefined;
    case 'fresh':
    case 'expiring':
      return age.isBlockedThen ? age.expiresAtMs : undefined;
    case 'expired':
      return age.isBlocked ? age.expiresAtMs : undefined;
  }
}

/** The last millisecond that RFC 3339 can say. */
const timeMsMax = Date.parse('9999-12-31T23:59:59.999Z');
