import type { KeyringCondition } from '#crds/v1alpha1/conditions.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import { setCommandOf } from '#contract/set-command.ts';
import { expiresAtOf, type KeyAge } from '#operator/key-state/key-age.ts';
import { expirySentences } from '#operator/key-state/key-ends.ts';
import type { KeyFinding } from '#operator/key-state/key-finding.ts';
import type { StoredKey } from '#operator/keystore/key-store.ts';

import { someOf } from '../conditions.ts';

/** Pure. Whether the key can be used, why not, and what its user can do. */
export function keyCondition(userKey: UserKey, finding: KeyFinding, age: KeyAge): KeyringCondition {
  const stored = 'stored' in finding ? finding.stored : undefined;
  const missing = 'missing' in finding ? finding.missing : [];
  return conditions[finding.kind]({ userKey, age, stored, missing, command: setCommand(userKey) });
}

interface Facts {
  readonly userKey: UserKey;
  readonly age: KeyAge;
  readonly stored: StoredKey | undefined;
  readonly missing: readonly string[];
  /** What the user runs. */
  readonly command: string;
}

const conditions: Readonly<Record<KeyFinding['kind'], (facts: Facts) => KeyringCondition>> = {
  configured: () => ready('Configured', 'Every required header has a value'),
  lacking: ({ userKey }) => ready('ScopeMissing', withVerdict(userKey, 'The key lacks rights')),
  expiring: ({ age, command }) => ready('KeyExpiring', `The key is used until ${endOf(age)}. ${command}`),
  expiredInUse: ({ age, command }) => {
    const sentence = 'The key is still used, as the policy only warns, and has been expired since';
    return ready('KeyExpired', `${sentence} ${endOf(age)}. ${command}`);
  },
  unverified: ({ userKey }) => {
    const message = withVerdict(userKey, 'No probe has shown yet that the key works');
    return { type: 'Ready', status: 'Unknown', reason: 'Unverified', message };
  },
  incomplete: ({ missing, command }) => notReady('HeadersMissing', `Not set: ${someOf(missing)}. ${command}`),
  missing: ({ command }) => notReady('KeyMissing', `No key is stored. ${command}`),
  notOnRecord: ({ command }) =>
    notReady('KeyMissing', `There is a sealed key that is not on record, so it is not used. ${command}`),
  rolledBack: ({ userKey, stored, command }) => notReady('KeyRolledBack', `${versionsOf(userKey, stored)}. ${command}`),
  revoked: ({ userKey, command }) => notReady('KeyRevoked', `${revocationOf(userKey)}. ${command}`),
  pendingApproval: ({ userKey }) => notReady('ApprovalMissing', approvalOf(userKey)),
  expired: ({ age, command }) => notReady('KeyExpired', `The key is not used any more since ${endOf(age)}. ${command}`),
  rejected: ({ userKey, command }) => notReady('KeyRejected', `${rejectionOf(userKey)}. ${command}`),
  failing: ({ userKey }) => notReady('ProbeFailed', withVerdict(userKey, 'Probes of the key fail')),
};

export function notReady(reason: KeyringCondition['reason'], message: string): KeyringCondition {
  return { type: 'Ready', status: 'False', reason, message };
}

function ready(reason: KeyringCondition['reason'], message: string): KeyringCondition {
  return { type: 'Ready', status: 'True', reason, message };
}

/** What the last probe said, and who can do something about it. */
function withVerdict({ status }: UserKey, sentence: string): string {
  const said = status?.verification?.message;
  return said === undefined ? sentence : `${sentence}. ${said}`;
}

function endOf(age: KeyAge): string {
  return age.kind === 'unbounded' ? '' : `${expiresAtOf(age)} (${age.reason}): ${expirySentences[age.reason]}`;
}

function versionsOf({ status }: UserKey, stored: StoredKey | undefined): string {
  return `The stored key is version ${stored?.version}, on record is ${status?.version}; an older key is never used`;
}

function rejectionOf({ spec, status }: UserKey): string {
  const since = status?.rejected === undefined ? '' : ` since ${status.rejected.at}`;
  return `The upstream of ${spec.serverRef.name} refuses the stored key${since}`;
}

function revocationOf({ status }: UserKey): string {
  const { by = 'somebody', at = '', reason } = status?.revoked ?? {};
  return `The key was revoked by ${by} at ${at}${reason === undefined ? '' : `: ${reason}`}`;
}

function approvalOf({ status }: UserKey): string {
  const { state = 'None', by = '', until, reason } = status?.approval ?? {};
  const why = reason === undefined ? '' : `: ${reason}`;
  switch (state) {
    case 'None':
      return 'A policy wants approval before this user has a key here, and nobody has asked for it';
    case 'Requested':
      return `Waits for an approver${why}`;
    case 'Refused':
      return `${by} has refused that this user has a key here${why}`;
    case 'Granted':
      return `The approval of ${by} has ended${until === undefined ? '' : ` at ${until}`}; an approver grants it anew`;
  }
}

function setCommand({ metadata, spec }: UserKey): string {
  const server = { namespace: metadata.namespace ?? '', name: spec.serverRef.name };
  return `The user runs: ${setCommandOf(server, spec.subject)}`;
}
