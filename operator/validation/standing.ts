import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';

import type { ValidationRules } from '#operator/policy/validation-rules.ts';

/** How a key fares by its probes. Only `failing` keeps it from being used. */
export type ProbeStanding =
  /** Nobody asks for probes of it. */
  | 'unprobed'
  | 'working'
  /** The upstream knows it, and it lacks rights. */
  | 'lacking'
  /** No verdict yet, or one that is still to be confirmed. */
  | 'unverified'
  /** It failed as many times in a row as it takes. */
  | 'failing';

/** Pure. Of this version of the key; what was found out about another one says nothing. */
export function probeStanding(
  { status }: Pick<UserKey, 'status'>,
  version: number,
  rules: ValidationRules,
): ProbeStanding {
  if (rules.probes.length === 0) return 'unprobed';
  const known = status?.verification;
  // A key from before the policy is only doubted where somebody is going to try it.
  if (known?.version !== version) return rules.intervalMs === undefined ? 'unprobed' : 'unverified';
  if (known.verdict === 'Accepted') return 'working';
  if (known.verdict === 'Unverified' || known.failures < rules.invalidAfterFailures) return 'unverified';
  return known.verdict === 'Rejected' ? 'failing' : 'lacking';
}
