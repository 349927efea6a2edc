import type { UserKeyPolicyExpiry } from '#crds/v1alpha1/generated/user-key-policy.ts';

import type { Bound } from './bound-policies.ts';
import type { Decided } from './decided.ts';
import { durationMs } from './duration.ts';

/** How old a key may get. */
export interface ExpiryRules {
  readonly maxAgeMs: Decided<number>;
  /** How long before that its user is warned. */
  readonly warnBeforeMs: Decided<number>;
  /** Whether it is still used afterwards. */
  readonly onExpired: Decided<'Block' | 'Warn'>;
}

/** Pure. The strictest of each field; undefined when no policy has `expiry`. */
export function expiryRules({ policies }: Pick<Bound, 'policies'>): ExpiryRules | undefined {
  const asked = policies.flatMap(({ metadata, spec }) =>
    spec.expiry === undefined ? [] : [rulesOf(metadata.name, spec.expiry)],
  );
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
