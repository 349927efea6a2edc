import type { KeyringCondition } from '#crds/v1alpha1/conditions.ts';
import type { UserKey, UserKeyHeader, UserKeyStatus } from '#crds/v1alpha1/generated/user-key.ts';
import { setCommandOf } from '#contract/set-command.ts';
import type { StoredKey } from '#operator/keystore/key-store.ts';
import type { EffectiveHeader } from '#operator/policy/effective-headers.ts';

import { someOf, stampConditions } from '../conditions.ts';
import { has, type UserKeyFinding } from './finding.ts';

export interface UserKeyOutcome {
  readonly finding: UserKeyFinding;
  readonly now: Date;
}

/**
 * All but `version`, which makes a rolled-back Secret worthless: only who has sealed a version puts it on record; and but `rejected`,
 * which the broker writes that hears of it.
 */
export function userKeyStatus(userKey: UserKey, { finding, now }: UserKeyOutcome): UserKeyStatus {
  const { generation } = userKey.metadata;
  const previous = userKey.status?.conditions;
  return {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    state: stateOf(finding),
    ...('headers' in finding ? { headers: finding.headers.map((header) => headerStatus(header, finding)) } : {}),
    conditions: stampConditions(conditionsOf(userKey, finding), { previous, generation, now }),
  };
}

function stateOf({ kind }: UserKeyFinding): NonNullable<UserKeyStatus['state']> {
  if (kind === 'configured') return 'Configured';
  return kind === 'rejected' ? 'Invalid' : 'Missing';
}

function headerStatus(header: EffectiveHeader, finding: UserKeyFinding): UserKeyHeader {
  const { name, required } = header;
  if (finding.kind === 'rejected' && has(finding.stored, header)) {
    return { ...configured(name, finding.stored), state: 'Invalid', reason: 'KeyRejected' };
  }
  const usable = finding.kind === 'configured' || finding.kind === 'headersMissing' ? finding.stored : undefined;
  if (usable !== undefined && has(usable, header)) return configured(name, usable);
  if (finding.kind === 'rolledBack') return { name, state: 'Missing', reason: 'KeyRolledBack' };
  return { name, state: 'Missing', reason: required ? 'NotSet' : 'OptionalNotSet' };
}

function configured(name: string, stored: StoredKey): UserKeyHeader {
  return { name, state: 'Configured', version: stored.version, setAt: stored.setAt };
}

function conditionsOf(userKey: UserKey, finding: UserKeyFinding): readonly KeyringCondition[] {
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
