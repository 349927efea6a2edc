import type { UserKey, UserKeyVerification } from '#crds/v1alpha1/generated/user-key.ts';
import { isRevoked } from '#operator/keystore/revoked.ts';
import { isRejected } from '#operator/keystore/version.ts';

import { jitterShare, retryMsMax } from './plan.ts';
import type { ValidationRules } from '#operator/policy/validation-rules.ts';

/** Time in which a key that was just set is tried by whoever set it. */
export const freshMs = 60_000;

/** States in which there is nothing to try, or a key is not used for anything. */
const unused: ReadonlySet<string> = new Set(['Missing', 'Revoked', 'PendingApproval']);

export interface DueQuestion {
  readonly version: number;
  readonly rules: Pick<ValidationRules, 'intervalMs'>;
  readonly nowMs: number;
}

/**
 * Pure. When this version of a key is to be probed; undefined: never. One that live traffic has shown to be refused stays refused,
 * whatever a probe would say.
 */
export function dueAtMs(userKey: UserKey, question: DueQuestion): number | undefined {
  const { version, rules } = question;
  if (isLeftAlone(userKey, version)) return undefined;
  const known = userKey.status?.verification;
  if (known?.version === version) return dueAgainMs(known, question);
  // A version is the time at which the key was set: those that were never tried have their turn by age.
  return rules.intervalMs === undefined ? undefined : version + freshMs;
}

function isLeftAlone(userKey: UserKey, version: number): boolean {
  const { metadata, status } = userKey;
  if (metadata.deletionTimestamp !== undefined || isRejected(userKey, version) || isRevoked(userKey, version))
    return true;
  return unused.has(status?.state ?? '');
}

function dueAgainMs({ at, nextAt }: UserKeyVerification, { rules, nowMs }: DueQuestion): number | undefined {
  const { intervalMs } = rules;
  const plannedMs = nextAt === undefined ? undefined : Date.parse(nextAt);
  // It waits for the next attempt, after some without a verdict.
  const isSoon = plannedMs !== undefined && plannedMs <= nowMs + retryMsMax;
  if (intervalMs === undefined || isSoon || at === undefined) return plannedMs;
  // A schedule that became shorter holds at once.
  const latestMs = Date.parse(at) + Math.round(intervalMs * (1 + jitterShare));
  return Math.min(plannedMs ?? latestMs, latestMs);
}
