import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import { describe, expect, test } from 'vitest';

import type { EffectiveHeader } from '#operator/policy/effective-headers.ts';
import { decideOpening, decideRelease, explainRefusal, leaseTtlMs, type Opening } from '#operator/broker/lease.ts';
import { keyStates } from '#operator/key-state/key-states.ts';
import { effectivePolicy } from '#operator/policy/effective-policy.ts';
import { versionToOpen } from '#operator/keystore/revoked.ts';
import { kubernetesSubjectIssuer } from '#contract/set-command.ts';
import { alice, bob, github, mcpServer, policyOf, userKeyOf } from '#test/support/broker-world.ts';

const server = mcpServer();

const nowMs = Date.parse('2026-11-24T12:00:00Z');
const probing = policyOf('probing', { validation: { probe: { tool: { name: 'whoami' } }, invalidAfterFailures: 1 } });
const approving = policyOf('approving', { approval: { required: true } });

function opening(userKey: UserKey | undefined, policies: readonly UserKeyPolicy[] = []): Opening {
  const policy = effectivePolicy(server, policies, { subject: alice, groups: [] });
  return decideOpening({ userKey, server, subject: alice, policy, nowMs });
}

function decisionOf(found: Opening): string {
  return found.kind === 'refused' ? keyStates[found.standing].lease : found.kind;
}

describe('whether a stored key is opened', () => {
  test('not without a UserKey', () => {
    expect(opening(undefined)).toEqual({ kind: 'nothingStored' });
  });

  test('not when the UserKey is being deleted', () => {
    const userKey = userKeyOf(alice);
    const deleted = { ...userKey, metadata: { ...userKey.metadata, deletionTimestamp: '2026-11-24T10:00:00Z' } };
    expect(opening(deleted)).toEqual({ kind: 'nothingStored' });
  });

  test('only from the version on that the UserKey has on record', () => {
    expect(opening(userKeyOf(alice, github, { version: 7 }))).toMatchObject({
      kind: 'open',
      versionMin: 7,
    });
  });

  test('not while no version is on record: what is stored may be from before a delete', () => {
    const { status: _, ...withoutStatus } = userKeyOf(alice);
    for (const userKey of [withoutStatus, userKeyOf(alice, github, {}), userKeyOf(alice, github, { version: 0 })]) {
      expect(opening(userKey)).toEqual({ kind: 'nothingStored' });
    }
  });

  test.each([
    ['of another user', userKeyOf(bob)],
    ['of a user of another issuer', userKeyOf({ ...alice, issuer: 'https://other' })],
    ['of another server', userKeyOf(alice, { ...github, name: 'jira' })],
  ])('never when the UserKey is %s', (_, userKey) => {
    expect(opening(userKey)).toEqual({ kind: 'mismatch' });
  });

  test('also when the user has another display name now', () => {
    expect(opening(userKeyOf({ ...alice, name: 'Alice B.' }))).toMatchObject({ kind: 'open' });
  });

  test.each(['Configured', 'Missing', 'Invalid', 'Revoked', 'Expired', 'PendingApproval'] as const)(
    'by what is on record and not by what its state says, which may be behind: %s',
    (state) => {
      expect(opening(userKeyOf(alice, github, { version: 1, state }))).toMatchObject({ kind: 'open' });
    },
  );
});

describe('a key that somebody has to approve', () => {
  const grant = { state: 'Granted', at: '2026-11-01T00:00:00Z', by: 'eve' } as const;

  test.each([
    ['is not opened before anybody has', undefined, 'pendingApproval'],
    ['nor while it is asked for', { state: 'Requested', at: grant.at }, 'pendingApproval'],
    ['nor after it was refused', { ...grant, state: 'Refused' }, 'pendingApproval'],
    ['is opened once it was granted', grant, 'open'],
    ['until the grant ends', { ...grant, until: '2026-11-24T12:00:01Z' }, 'open'],
    ['and not a moment longer', { ...grant, until: '2026-11-24T12:00:00Z' }, 'pendingApproval'],
    ['nor where nobody can read when it ends', { ...grant, until: 'soon' }, 'pendingApproval'],
  ] as const)('%s', (_, approval, expected) => {
    const status = { version: 3, ...(approval === undefined ? {} : { approval }) };
    expect(decisionOf(opening(userKeyOf(alice, github, status), [approving]))).toBe(expected);
    expect(decisionOf(opening(userKeyOf(alice, github, status)))).toBe('open');
  });

  test('waits also where there is none, as a server may need no key', () => {
    expect(decisionOf(opening(undefined, [approving]))).toBe('pendingApproval');
    expect(decisionOf(opening(userKeyOf(alice, github, { approval: grant }), [approving]))).toBe('nothingStored');
  });
});

function failed(version: number) {
  return { version, verdict: 'Rejected', failures: 1 } as const;
}

describe('a version that the upstream has refused', () => {
  const policies = [probing];

  const at = '2026-11-24T10:00:00Z';

  test.each([
    ['stays shut', { version: 3, state: 'Configured', rejected: { version: 3, at } }, 'invalid'],
    [
      'stays shut when an older one is put back',
      { version: 3, state: 'Invalid', rejected: { version: 4, at } },
      'invalid',
    ],
    ['does not shut a newer one', { version: 4, state: 'Configured', rejected: { version: 3, at } }, 'open'],
    ['nor does the state that followed it', { version: 4, state: 'Invalid', rejected: { version: 3, at } }, 'open'],
    ['stays shut by probes too', { version: 4, state: 'Invalid', verification: failed(4) }, 'invalid'],
    [
      'stays shut by probes, after an older one that was refused',
      { version: 4, state: 'Invalid', rejected: { version: 3, at }, verification: failed(4) },
      'invalid',
    ],
    ['does not shut a newer one by probes', { version: 5, state: 'Invalid', verification: failed(4) }, 'open'],
    [
      'is open while its failure is to be confirmed',
      { version: 4, state: 'Invalid', verification: { ...failed(4), failures: 0 } },
      'open',
    ],
    [
      'is open once a probe accepts it, before the state follows',
      { version: 4, state: 'Invalid', verification: { ...failed(4), verdict: 'Accepted' } },
      'open',
    ],
    ['is not there without a key', { rejected: { version: 3, at } }, 'nothingStored'],
  ] as const)('%s', (_, status, expected) => {
    const found = opening(userKeyOf(alice, github, status), policies);
    expect(decisionOf(found)).toBe(expected);
  });
});

describe('a version that was revoked', () => {
  const revoked = { version: 3, at: '2026-11-24T10:00:00Z', by: 'root' };

  test.each([
    ['stays shut, whatever the state says', { version: 3, state: 'Configured', revoked }, 'invalid'],
    ['stays shut when an older one is put back', { version: 2, state: 'Configured', revoked }, 'invalid'],
    ['does not shut a newer one', { version: 4, state: 'Configured', revoked }, 'open'],
    ['nor does the state that followed it', { version: 4, state: 'Revoked', revoked }, 'open'],
    [
      'opens no door that the upstream has shut',
      { version: 4, state: 'Revoked', revoked, rejected: { version: 4, at: revoked.at } },
      'invalid',
    ],
  ] as const)('%s', (_, status, expected) => {
    const found = opening(userKeyOf(alice, github, status));
    expect(decisionOf(found)).toBe(expected);
  });

  test('is not opened where what lies sealed is newer than the record and not newer than what was revoked', () => {
    const found = opening(userKeyOf(alice, github, { version: 4, revoked }));
    expect(found).toMatchObject({ kind: 'open', versionMin: 4 });
    const ahead = { ...revoked, version: 9 };
    expect(versionToOpen(userKeyOf(alice, github, { version: 4, revoked: ahead }))).toBe(10);
  });
});

function declared(name: string, required: boolean): EffectiveHeader {
  return { name, template: '{value}', required, decidedBy: { kind: 'server' } };
}

describe('what goes out of an opened key', () => {
  test('the headers that are declared and stored, whatever the case of their names', () => {
    const headers = [declared('Authorization', true), declared('X-Team', false), declared('X-Unset', false)];
    expect(decideRelease(headers, ['authorization', 'x-team'])).toEqual({
      kind: 'release',
      headers: headers.slice(0, 2),
    });
  });

  test('nothing while a required header is not stored, and it says which', () => {
    const headers = [declared('A', true), declared('B', true), declared('C', false)];
    expect(decideRelease(headers, ['A'])).toEqual({ kind: 'missing', headers: [headers[1]] });
  });

  test('nothing that is no longer declared', () => {
    expect(decideRelease([declared('A', true)], ['A', 'Old-Secret'])).toEqual({
      kind: 'release',
      headers: [declared('A', true)],
    });
  });

  test('nothing at all for a server that declares nothing', () => {
    expect(decideRelease([], ['A'])).toEqual({ kind: 'release', headers: [] });
  });
});

describe('what a user is told', () => {
  test('which headers are missing and the command that sets them', () => {
    const header = { ...declared('Authorization', true), title: 'GitHub token', helpURL: 'https://github.com/x' };
    expect(explainRefusal('missing', { server, subject: alice }, [header])).toEqual({
      hints: [{ name: 'Authorization', title: 'GitHub token', helpURL: 'https://github.com/x' }],
      message:
        'Here you are alice (https://idp.example). Set the key with a token of that login in a file: kubectl mcpkeys set github -n team-a --token-file token.txt',
    });
  });

  test('as a user of the cluster, that the kubeconfig is enough if it is theirs', () => {
    const name = 'system:serviceaccount:team-a:agent';
    const subject = { issuer: kubernetesSubjectIssuer, id: name, name };
    expect(explainRefusal('missing', { server, subject }, []).message).toBe(
      `Here you are ${name} (Kubernetes). Set the key as this user: kubectl mcpkeys set github -n team-a`,
    );
  });

  test('the whole command, in what a sidecar takes as a sentence, with the longest names', () => {
    const subject = { ...alice, name: 'a'.repeat(256), issuer: `https://idp.example/${'x'.repeat(492)}` };
    const { message } = explainRefusal('missing', { server, subject }, []);
    expect(message.length).toBeLessThan(2_048);
    expect(message).toMatch(/kubectl mcpkeys set github -n team-a --token-file token\.txt$/u);
  });

  test('whom to ask when an approval is waited for', () => {
    expect(explainRefusal('pendingApproval', { server, subject: alice }, []).message).toMatch(/administrator/u);
  });

  test('that the key was revoked, which no sidecar says', () => {
    const { message } = explainRefusal('revoked', { server, subject: alice }, []);
    expect(message).toMatch(/^It was revoked, .* kubectl mcpkeys set github -n team-a/u);
  });

  test.each(['missing', 'rejected', 'failing', 'expired', 'incomplete'] as const)(
    'the command also when the key is %s',
    (refusal) => {
      const headers = [declared('X-A', true), declared('X-B', true)];
      const { hints, message } = explainRefusal(refusal, { server, subject: alice }, headers);
      expect(hints.map(({ name }) => name)).toEqual(['X-A', 'X-B']);
      expect(message).toContain('kubectl mcpkeys set github -n team-a');
    },
  );
});

describe('how long a lease lasts', () => {
  test.each([
    ['as long as may be, without an end of the credential', undefined, 30_000],
    ['as long as may be, with an end far away', 1_000_000, 30_000],
    ['as long as the credential', 12_345, 12_345],
    ['a moment, when the credential ends now', 10, 1_000],
    ['a moment, when it ended within the tolerance', -20_000, 1_000],
  ])('%s', (_, remainingMs, expected) => {
    const nowMs = 5_000_000;
    expect(leaseTtlMs(30_000, remainingMs === undefined ? undefined : nowMs + remainingMs, nowMs)).toBe(expected);
  });
});
