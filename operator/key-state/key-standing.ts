import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import { isRevoked } from '#operator/keystore/revoked.ts';
import { isRejected } from '#operator/keystore/version.ts';
import type { EffectivePolicy } from '#operator/policy/effective-policy.ts';
import { probeStanding } from '#operator/validation/standing.ts';

import { isApproved } from './approval.ts';
import { type AgedKey, type KeyAge, keyAge } from './key-age.ts';

/** How one version of a key stands, whatever headers it has: the worst that is true of it. */
export type KeyStanding =
  | 'revoked'
  | 'pendingApproval'
  | 'rejected'
  | 'failing'
  | 'expired'
  | 'expiredInUse'
  | 'unverified'
  | 'expiring'
  | 'lacking'
  | 'configured';

/** What a standing is found from: the record of its user, the policies that are for them, the key, the time. */
export interface StandingFacts {
  readonly userKey: Pick<UserKey, 'status'>;
  readonly policy: Pick<EffectivePolicy, 'validation' | 'expiry' | 'approval'>;
  readonly key: AgedKey;
  readonly nowMs: number;
}

/** Pure. To be found anew whenever somebody asks for the key: a status may be a moment behind, and time writes none. */
export function keyStanding({ userKey, policy, key, nowMs }: StandingFacts): KeyStanding {
  if (isRevoked(userKey, key.version)) return 'revoked';
  if (!isApproved(userKey, policy.approval, nowMs)) return 'pendingApproval';
  if (isRejected(userKey, key.version)) return 'rejected';
  const probes = probeStanding(userKey, key.version, policy.validation);
  if (probes === 'failing') return 'failing';
  return standingByAge(keyAge(key, policy.expiry, nowMs), probes);
}

function standingByAge(age: KeyAge, probes: ReturnType<typeof probeStanding>): KeyStanding {
  if (age.kind === 'expired') return age.isBlocked ? 'expired' : 'expiredInUse';
  if (probes === 'unverified') return 'unverified';
  if (age.kind === 'expiring') return 'expiring';
  return probes === 'lacking' ? 'lacking' : 'configured';
}
