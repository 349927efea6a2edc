import type { KeyringCondition } from '#crds/v1alpha1/conditions.ts';
import type { UserKey, UserKeyHeader, UserKeyStatus } from '#crds/v1alpha1/generated/user-key.ts';
import { setCommandOf } from '#contract/set-command.ts';
import { withDetected } from '#operator/key-state/detected-end.ts';
import { headerAge, knownEnds } from '#operator/key-state/header-age.ts';
import { expiresAtOf, type KeyAge } from '#operator/key-state/key-age.ts';
import { expirySentences } from '#operator/key-state/key-ends.ts';
import type { StoredKey } from '#operator/keystore/key-store.ts';
import type { EffectiveHeader } from '#operator/policy/effective-headers.ts';
import type { ExpiryRules } from '#operator/policy/expiry-rules.ts';

import { someOf, stampConditions } from '../conditions.ts';
import { has, type UserKeyFinding } from './finding.ts';

export interface UserKeyOutcome {
  readonly finding: UserKeyFinding;
  readonly age: KeyAge;
  readonly expiry: ExpiryRules | undefined;
  readonly now: Date;
}

/**
 * All but `version`, which makes a rolled-back Secret worthless: only who has sealed a version puts it on record; and but `rejected`,
 * which the broker writes that hears of it.
 */
export function userKeyStatus(userKey: UserKey, { finding, age, expiry, now }: UserKeyOutcome): UserKeyStatus {
  const { generation } = userKey.metadata;
  const previous = userKey.status?.conditions;
  const expiresAt = 'stored' in finding ? expiresAtOf(age) : undefined;
  return {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    state: states[finding.kind],
    ...(expiresAt === undefined ? {} : { expiresAt }),
    ...('headers' in finding
      ? { headers: finding.headers.map((header) => headerStatus(header, finding, { userKey, expiry, now })) }
      : {}),
    conditions: stampConditions(conditionsOf(userKey, finding, age), { previous, generation, now }),
  };
}

type State = NonNullable<UserKeyStatus['state']>;

const states: Readonly<Record<UserKeyFinding['kind'], State>> = {
  configured: 'Configured',
  lacking: 'Configured',
  expiring: 'Expiring',
  expired: 'Expired',
  expiredInUse: 'Expired',
  unverified: 'Unverified',
  rejected: 'Invalid',
  failing: 'Invalid',
  headersMissing: 'Missing',
  keyMissing: 'Missing',
  notOnRecord: 'Missing',
  rolledBack: 'Missing',
  serverNotFound: 'Missing',
  noOrganization: 'Missing',
  conflict: 'Missing',
  nameMismatch: 'Missing',
};

/** Of a header that has a value, where the finding is about the value. */
const headerStates: Readonly<
  Partial<Record<UserKeyFinding['kind'], { readonly state: State; readonly reason?: string }>>
> = {
  configured: { state: 'Configured' },
  headersMissing: { state: 'Configured' },
  lacking: { state: 'Configured', reason: 'ScopeMissing' },
  unverified: { state: 'Unverified' },
  expiring: { state: 'Expiring' },
  expired: { state: 'Expired' },
  expiredInUse: { state: 'Expired' },
  rejected: { state: 'Invalid', reason: 'KeyRejected' },
  failing: { state: 'Invalid', reason: 'ProbeFailed' },
};

function headerStatus(
  header: EffectiveHeader,
  finding: UserKeyFinding,
  at: Pick<UserKeyOutcome, 'expiry' | 'now'> & { readonly userKey: UserKey },
): UserKeyHeader {
  const { name, required } = header;
  const state = headerStates[finding.kind];
  if (state !== undefined && 'stored' in finding && has(finding.stored, header)) {
    const ending = withDetected(finding.stored, finding.stored.headerNames, at.userKey);
    const age = headerAge(ending, name, at);
    const expiresAt = expiresAtOf(age);
    return {
      ...configured(name, finding.stored),
      ...(isAged(finding.kind) ? agedState(age) : state),
      ...(expiresAt === undefined ? {} : { expiresAt }),
      ...knownEnds(ending, name),
    };
  }
  if (finding.kind === 'rolledBack') return { name, state: 'Missing', reason: 'KeyRolledBack' };
  return { name, state: 'Missing', reason: required ? 'NotSet' : 'OptionalNotSet' };
}

/** What ends another header of the key says nothing of this one. */
function agedState(age: KeyAge): { readonly state: State; readonly reason?: string } {
  switch (age.kind) {
    case 'unbounded':
    case 'fresh':
      return { state: 'Configured' };
    case 'expiring':
      return { state: 'Expiring', reason: age.reason };
    case 'expired':
      return { state: 'Expired', reason: age.reason };
  }
}

function configured(name: string, stored: StoredKey): UserKeyHeader {
  return { name, state: 'Configured', version: stored.version, setAt: stored.setAt };
}

type ProbedKind = Extract<UserKeyFinding['kind'], 'unverified' | 'lacking' | 'failing'>;

const probeConditions: Readonly<Record<ProbedKind, Omit<KeyringCondition, 'type'>>> = {
  unverified: { status: 'Unknown', reason: 'Unverified', message: 'No probe has shown yet that the key works' },
  lacking: { status: 'True', reason: 'ScopeMissing', message: 'The key lacks rights' },
  failing: { status: 'False', reason: 'ProbeFailed', message: 'Probes of the key fail' },
};

function conditionsOf(userKey: UserKey, finding: UserKeyFinding, age: KeyAge): readonly KeyringCondition[] {
  const { kind } = finding;
  if (kind === 'expiring' || kind === 'expired' || kind === 'expiredInUse') {
    return age.kind === 'unbounded' ? [] : [aged(userKey, kind, age)];
  }
  if (kind === 'unverified' || kind === 'lacking' || kind === 'failing')
    return [probed(userKey, probeConditions[kind])];
  return unprobedConditions(userKey, finding);
}

function unprobedConditions(
  userKey: UserKey,
  finding: Exclude<UserKeyFinding, { kind: ProbedKind | AgedKind }>,
): readonly KeyringCondition[] {
  const server = userKey.spec.serverRef.name;
  const command = setCommand(userKey);
  switch (finding.kind) {
    case 'configured':
      return [{ type: 'Ready', status: 'True', reason: 'Configured', message: 'Every required header has a value' }];
    case 'headersMissing':
      return [notReady('HeadersMissing', `Not set: ${someOf(finding.missing)}. ${command}`)];
    case 'keyMissing':
      return [notReady('KeyMissing', `No key is stored. ${command}`)];
    case 'notOnRecord':
      return [notReady('KeyMissing', `There is a sealed key that is not on record, so it is not used. ${command}`)];
    case 'rolledBack':
      return [rolledBack(userKey, finding.stored)];
    case 'rejected':
      return [rejected(userKey)];
    case 'serverNotFound':
      return [
        notReady(
          'ServerNotFound',
          `There is no McpServer ${server} in this namespace; create it or delete this UserKey`,
        ),
      ];
    case 'noOrganization':
      return [
        notReady(
          'NamespaceHasNoOrganization',
          'No Organization selects this namespace; label the namespace as one of them asks for',
        ),
      ];
    case 'conflict':
      return [
        notReady(
          'NamespacesConflict',
          `Organizations ${someOf(finding.organizations)} all select this namespace; let only one of them`,
        ),
      ];
    case 'nameMismatch':
      return mismatch(finding.expectedName);
    default:
      return finding satisfies never;
  }
}

function rolledBack(userKey: UserKey, stored: StoredKey): KeyringCondition {
  const versions = `The stored key is version ${stored.version}, on record is ${userKey.status?.version}`;
  return notReady('KeyRolledBack', `${versions}; an older key is never used. ${setCommand(userKey)}`);
}

function rejected(userKey: UserKey): KeyringCondition {
  const { spec, status } = userKey;
  const { name } = spec.serverRef;
  const since = status?.rejected === undefined ? '' : ` since ${status.rejected.at}`;
  return notReady('KeyRejected', `The upstream of ${name} refuses the stored key${since}. ${setCommand(userKey)}`);
}

type AgedKind = Extract<UserKeyFinding['kind'], 'expiring' | 'expired' | 'expiredInUse'>;

const agedConditions: Readonly<Record<AgedKind, Pick<KeyringCondition, 'status' | 'reason'> & { sentence: string }>> = {
  expiring: { status: 'True', reason: 'KeyExpiring', sentence: 'The key is used until' },
  expired: { status: 'False', reason: 'KeyExpired', sentence: 'The key is not used any more since' },
  expiredInUse: {
    status: 'True',
    reason: 'KeyExpired',
    sentence: 'The key is still used, as the policy only warns, and has been expired since',
  },
};

function isAged(kind: UserKeyFinding['kind']): kind is AgedKind {
  return Object.hasOwn(agedConditions, kind);
}

function aged(userKey: UserKey, kind: AgedKind, age: Exclude<KeyAge, { kind: 'unbounded' }>): KeyringCondition {
  const { sentence, status, reason } = agedConditions[kind];
  const when = `${expiresAtOf(age)} (${age.reason}): ${expirySentences[age.reason]}`;
  return { type: 'Ready', status, reason, message: `${sentence} ${when}. ${setCommand(userKey)}` };
}

/** What the last probe said, and who can do something about it. */
function probed({ status }: UserKey, condition: Omit<KeyringCondition, 'type'>): KeyringCondition {
  const said = status?.verification?.message;
  return {
    type: 'Ready',
    ...condition,
    message: said === undefined ? condition.message : `${condition.message}. ${said}`,
  };
}

function mismatch(expectedName: string): readonly KeyringCondition[] {
  const message =
    `A UserKey for this server and subject is called ${expectedName}; this one is ignored. Delete it: ` +
    'UserKeys are made by the operator, when the user runs kubectl mcpkeys set';
  return [notReady('NameMismatch', message), { type: 'Stalled', status: 'True', reason: 'NameMismatch', message }];
}

function notReady(reason: KeyringCondition['reason'], message: string): KeyringCondition {
  return { type: 'Ready', status: 'False', reason, message };
}

function setCommand({ metadata, spec }: UserKey): string {
  const server = { namespace: metadata.namespace ?? '', name: spec.serverRef.name };
  return `The user runs: ${setCommandOf(server, spec.subject)}`;
}
