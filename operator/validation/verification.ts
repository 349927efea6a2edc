import type { KeyVerdict, ProbeFinding } from './verdict.ts';
import { probeReasons } from './verdict.ts';

/** What is on record of the last probe of a key (`UserKey.status.verification`). */
export interface Verification {
  readonly version: number;
  /** `Unverified`: no probe of this version has had a verdict yet. */
  readonly verdict: KeyVerdict | 'Unverified';
  /** When the verdict was found; absent: never. */
  readonly at?: string;
  /** Probes in a row that the key has failed. */
  readonly failures: number;
  /** Never a value. */
  readonly message: string;
  /** When the key is probed again; absent: it is not. */
  readonly nextAt?: string;
}

export interface Probed {
  readonly version: number;
  readonly finding: ProbeFinding;
  readonly now: Date;
  readonly nextAt: Date | undefined;
}

/** Pure. Without a verdict what was known of this version stays, and the reason says why there is none. */
export function nextVerification(before: Verification | undefined, probed: Probed): Verification {
  const { version, finding, now, nextAt } = probed;
  const known = before?.version === version ? before : undefined;
  const { verdict, reason } = finding;
  const next = nextAt === undefined ? {} : { nextAt: nextAt.toISOString() };
  const { message } = probeReasons[reason];
  if (verdict === undefined) {
    const { at, failures = 0, verdict: kept = 'Unverified' } = known ?? {};
    return { version, verdict: kept, ...(at === undefined ? {} : { at }), failures, message, ...next };
  }
  const failures = verdict === 'Accepted' ? 0 : (known?.failures ?? 0) + 1;
  return { version, verdict, at: now.toISOString(), failures, message, ...next };
}
