import { slotTimeMsMax } from '#operator/envelope/slot-times.ts';
import type { ValueEnds } from '#operator/keystore/value-ends.ts';
import { durationMs } from '#operator/policy/duration.ts';
import type { ExpiryRules } from '#operator/policy/expiry-rules.ts';

/** Why a key ends when it does. */
export type ExpiryReason =
  /** Its user said so when they set it. */
  | 'DeclaredExpiry'
  /** The value says so, or its upstream. */
  | 'DetectedExpiry'
  /** A policy lets no key get older. */
  | 'MaxAge';

/** For people, after a time. */
export const expirySentences: Readonly<Record<ExpiryReason, string>> = {
  DeclaredExpiry: 'its user said that it ends then',
  DetectedExpiry: 'the key or its upstream says that it ends then',
  MaxAge: 'a policy lets no key get older',
};

export interface KeyEnd {
  readonly reason: ExpiryReason;
  readonly atMs: number;
  /** When its user is warned. */
  readonly warnsAtMs: number;
  /** Whether the key is used afterwards. */
  readonly blocks: boolean;
}

const warnBeforeByDefaultMs = durationMs('14d');

/**
 * Pure. Everything that ends a key, the first first. What an upstream is known to do is no matter of policy: it would refuse the key,
 * so the key is not sent. What a user said may be wrong, and a policy that only warns lets such a key be used.
 */
export function endsOf(
  { version, ends = [] }: { readonly version: number; readonly ends?: readonly ValueEnds[] },
  rules: ExpiryRules | undefined,
): readonly KeyEnd[] {
  const isBlockedByPolicy = rules?.onExpired.value !== 'Warn';
  const known = ends.flatMap(({ declaredAtMs, detectedAtMs }) => [
    ...(detectedAtMs === undefined ? [] : [{ reason: 'DetectedExpiry', atMs: detectedAtMs, blocks: true } as const]),
    ...(declaredAtMs === undefined
      ? []
      : [{ reason: 'DeclaredExpiry', atMs: declaredAtMs, blocks: isBlockedByPolicy } as const]),
  ]);
  const all: KeyEnd[] = known.map((end) => ({ ...end, warnsAtMs: warnsAtMs(version, end.atMs, rules) }));
  if (rules !== undefined) {
    const atMs = Math.min(version + rules.maxAgeMs.value, slotTimeMsMax);
    all.push({ reason: 'MaxAge', atMs, warnsAtMs: atMs - rules.warnBeforeMs.value, blocks: isBlockedByPolicy });
  }
  return all.toSorted((left, right) => left.atMs - right.atMs || Number(right.blocks) - Number(left.blocks));
}

/** No user is warned of a key for more than half of its life: it would be from the first moment on. */
function warnsAtMs(version: number, atMs: number, rules: ExpiryRules | undefined): number {
  const halfLifeMs = Math.max(0, (atMs - version) / 2);
  return Math.ceil(atMs - Math.min(rules?.warnBeforeMs.value ?? warnBeforeByDefaultMs, halfLifeMs));
}
