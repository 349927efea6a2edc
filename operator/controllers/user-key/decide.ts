import type { UserKey, UserKeyStatus } from '#crds/v1alpha1/generated/user-key.ts';
import { userKeyFinalizer } from '#crds/v1alpha1/names.ts';
import type { ServerRef, Subject } from '#contract/lease.ts';

import { approvalEndsAtMs } from '#operator/key-state/approval.ts';
import { keyAge, nextChangeAtMs } from '#operator/key-state/key-age.ts';
import { versionOnRecord } from '#operator/keystore/version.ts';

import type { Decision, Step } from '../decision.ts';
import { findingOf, type UserKeyFinding } from './finding.ts';
import type { ObservedUserKey } from './observe.ts';
import { userKeyStatus } from './status.ts';

/** What only this controller does, beside plain writes. */
export type UserKeyAction =
  | { readonly kind: 'destroyKey'; readonly server: ServerRef; readonly subject: Subject }
  | { readonly kind: 'recordDestroyed'; readonly userKey: UserKey; readonly organization?: string };

type UserKeyDecision = Decision<UserKeyStatus, UserKeyAction>;

/** How far the cache of sealed keys may be behind the record: a key that was just set is no older one that somebody put back. */
const sealedSecretLagMs = 2_000;

/** The state of one user's key; on deletion, destroying it before the UserKey goes. */
export function decideUserKey(observed: ObservedUserKey, now: Date): UserKeyDecision {
  const { object } = observed;
  if (object.metadata.deletionTimestamp !== undefined) return { steps: destroySteps(observed) };
  const finding = findingOf(observed, now);
  if (finding.kind === 'key' && finding.key.kind === 'rolledBack' && isRecent(object, now)) {
    return { steps: finalizerSteps(object, finding), requeueAfterMs: sealedSecretLagMs };
  }
  const changesAtMs = changesByItselfAtMs(object, finding, now);
  return {
    steps: finalizerSteps(object, finding),
    status: userKeyStatus(object, { finding, now }),
    ...(changesAtMs === undefined ? {} : { requeueAfterMs: Math.min(changesAtMs - now.getTime(), timerMsMax) }),
  };
}

/** When time alone makes something else of it. */
function changesByItselfAtMs(object: UserKey, finding: UserKeyFinding, now: Date): number | undefined {
  if (finding.kind !== 'key') return undefined;
  const { policy, key } = finding;
  const stored = 'stored' in key ? key.stored : undefined;
  const ageMs = stored === undefined ? undefined : nextChangeAtMs(keyAge(stored, policy.expiry, now.getTime()));
  const approvalMs = approvalEndsAtMs(object, policy.approval);
  const soonestMs = Math.min(ageMs ?? Infinity, approvalMs > now.getTime() ? approvalMs : Infinity);
  return Number.isFinite(soonestMs) ? soonestMs : undefined;
}

/** Below what a timer of Node.js can wait, which is 24.8 days. */
const timerMsMax = 20 * 86_400_000;

/** A version is the time at which it was sealed. */
function isRecent(object: UserKey, now: Date): boolean {
  return now.getTime() - (versionOnRecord(object) ?? 0) < sealedSecretLagMs;
}

/**
 * Only the UserKey that bears the right name may take a key with it: a made-up one about somebody else's subject must not
 * destroy theirs. The finalizer goes last, so a failure on the way is tried again.
 */
function destroySteps({ object, expectedName, tenancy }: ObservedUserKey): UserKeyDecision['steps'] {
  const finalizers = object.metadata.finalizers ?? [];
  if (!finalizers.includes(userKeyFinalizer)) return [];
  const release: Step<UserKeyAction> = {
    kind: 'finalizers',
    finalizers: finalizers.filter((finalizer) => finalizer !== userKeyFinalizer),
  };
  if (object.metadata.name !== expectedName) return [release];
  const { serverRef, subject } = object.spec;
  const server = { namespace: object.metadata.namespace ?? '', name: serverRef.name };
  const organization = tenancy.kind === 'organization' ? { organization: tenancy.name } : {};
  return [
    { kind: 'act', action: { kind: 'destroyKey', server, subject } },
    { kind: 'act', action: { kind: 'recordDestroyed', userKey: object, ...organization } },
    release,
  ];
}

function finalizerSteps(object: UserKey, finding: UserKeyFinding): UserKeyDecision['steps'] {
  const finalizers = object.metadata.finalizers ?? [];
  if (finding.kind === 'nameMismatch' || finalizers.includes(userKeyFinalizer)) return [];
  return [{ kind: 'finalizers', finalizers: [...finalizers, userKeyFinalizer] }];
}
