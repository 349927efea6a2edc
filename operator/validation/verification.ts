import type { UserKeyVerification } from '#crds/v1alpha1/generated/user-key.ts';

import type { ProbeFinding } from './verdict.ts';

export interface Probed {
  readonly version: number;
  readonly finding: ProbeFinding;
  /** Never a value. */
  readonly message: string;
  readonly now: Date;
  /** Undefined: it is not probed again. */
  readonly nextAt: Date | undefined;
}

/** Pure. Without a verdict what was known of this version stays, and the message says why there is none. */
export function nextVerification(before: UserKeyVerification | undefined, probed: Probed): UserKeyVerification {
  const { version, finding, message, now, nextAt } = probed;
  const known = before?.version === version ? before : undefined;
  const { verdict } = finding;
  const next = nextAt === undefined ? {} : { nextAt: nextAt.toISOString() };
  if (verdict === undefined) {
    const { at, failures = 0, verdict: kept = 'Unverified' } = known ?? {};
    return { version, verdict: kept, ...(at === undefined ? {} : { at }), failures, message, ...next };
  }
  const failures = verdict === 'Accepted' ? 0 : (known?.failures ?? 0) + 1;
  return { version, verdict, at: now.toISOString(), failures, message, ...next };
}
