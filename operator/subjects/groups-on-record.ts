import type { UserKey, UserKeyStatusSubject } from '#crds/v1alpha1/generated/user-key.ts';
import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';

import { subjectLimits } from './subject-limits.ts';

/**
 * Pure. Of the groups that a user is in, those that policies of the namespace name, in a fixed order: the others decide nothing, and
 * what is nobody's business is not written down.
 */
export function namedGroups(
  groups: readonly string[],
  policies: readonly Pick<UserKeyPolicy, 'spec'>[],
): readonly string[] {
  const named = new Set(policies.flatMap(({ spec }) => spec.subjects?.groups ?? []));
  if (named.size === 0) return [];
  return [...new Set(groups)]
    .filter((group) => named.has(group))
    .toSorted()
    .slice(0, subjectLimits.groupsMax);
}

/** Pure. What to write on the UserKey now that its user is in `groups`; undefined: it says so already. */
export function subjectToRecord(
  userKey: Pick<UserKey, 'status'>,
  groups: readonly string[],
  now: Date,
): UserKeyStatusSubject | undefined {
  const recorded = userKey.status?.subject;
  if (recorded === undefined && groups.length === 0) return undefined;
  const isSame = JSON.stringify(recorded?.groups) === JSON.stringify(groups);
  const ageMs = recorded === undefined ? Infinity : now.getTime() - Date.parse(recorded.seenAt);
  if (isSame && ageMs < subjectLimits.seenAgainMs) return undefined;
  return { groups, seenAt: now.toISOString() };
}
