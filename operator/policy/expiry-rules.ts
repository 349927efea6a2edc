import type { UserKeyPolicy, UserKeyPolicyExpiry } from '#crds/v1alpha1/generated/user-key-policy.ts';

import { durationMs } from './duration.ts';

/** A value with the UserKeyPolicy that it is from; of several that say the same, the first by name. */
export interface Decided<T> {
  readonly value: T;
  readonly decidedBy: string;
}

/** How old a key may get. */
export interface ExpiryRules {
  readonly maxAgeMs: Decided<number>;
  /** How long before that its user is warned. */
  readonly warnBeforeMs: Decided<number>;
  /** Whether it is still used afterwards. */
  readonly onExpired: Decided<'Block' | 'Warn'>;
}

/** Pure. The strictest of each field, of policies that are for one server and user; undefined when none has `expiry`. */
export function expiryRules(policies: readonly UserKeyPolicy[]): ExpiryRules | undefined {
  const asked = policies
    .flatMap(({ metadata, spec }) => (spec.expiry === undefined ? [] : [rulesOf(metadata.name, spec.expiry)]))
    .toSorted((left, right) => (left.maxAgeMs.decidedBy < right.maxAgeMs.decidedBy ? -1 : 1));
  const [first, ...others] = asked;
  if (first === undefined) return undefined;
  return others.reduce(
    (strictest, one) => ({
      maxAgeMs: one.maxAgeMs.value < strictest.maxAgeMs.value ? one.maxAgeMs : strictest.maxAgeMs,
      warnBeforeMs: one.warnBeforeMs.value > strictest.warnBeforeMs.value ? one.warnBeforeMs : strictest.warnBeforeMs,
      onExpired: strictest.onExpired.value === 'Block' ? strictest.onExpired : one.onExpired,
    }),
    first,
  );
}

const maxAgeByDefaultMs = durationMs('90d');
const warnBeforeByDefaultMs = durationMs('14d');

/** What a policy does not say is filled in here, and not after the others had their say: so no policy makes another one laxer. */
function rulesOf(policy: string, { maxAge, warnBefore, onExpired }: UserKeyPolicyExpiry): ExpiryRules {
  const maxAgeMs = maxAge === undefined ? maxAgeByDefaultMs : durationMs(maxAge);
  const warnBeforeMs =
    warnBefore === undefined ? Math.min(warnBeforeByDefaultMs, maxAgeMs / 2) : durationMs(warnBefore);
  return {
    maxAgeMs: { value: maxAgeMs, decidedBy: policy },
    warnBeforeMs: { value: warnBeforeMs, decidedBy: policy },
    onExpired: { value: onExpired ?? 'Block', decidedBy: policy },
  };
}
