import { describe, expect, test } from 'vitest';

import type { EffectiveHeader } from '#operator/policy/effective-headers.ts';
import { decideOpening, decideRelease, explainRefusal, leaseTtlMs } from '#operator/broker/lease.ts';
import { versionToOpen } from '#operator/keystore/revoked.ts';
import { kubernetesSubjectIssuer } from '#contract/set-command.ts';
import { alice, bob, github, mcpServer, userKeyOf } from '#test/support/broker-world.ts';

const server = mcpServer();

describe('whether a stored key is opened', () => {
  test('not without a UserKey', () => {
    expect(decideOpening(undefined, server, alice)).toEqual({ kind: 'nothingStored' });
  });

  test('not when the UserKey is being deleted', () => {
    const userKey = userKeyOf(alice);
    const deleted = { ...userKey, metadata: { ...userKey.metadata, deletionTimestamp: '2026-11-24T10:00:00Z' } };
    expect(decideOpening(deleted, server, alice)).toEqual({ kind: 'nothingStored' });
  });

  test('only from the version on that the UserKey has on record', () => {
    expect(decideOpening(userKeyOf(alice, github, { version: 7 }), server, alice)).toEqual({
      kind: 'open',
      versionMin: 7,
    });
  });

  test('not while no version is on record: what is stored may be from before a delete', () => {
    const { status: _, ...withoutStatus } = userKeyOf(alice);
    for (const userKey of [withoutStatus, userKeyOf(alice, github, {}), userKeyOf(alice, github, { version: 0 })]) {
      expect(decideOpening(userKey, server, alice)).toEqual({ kind: 'nothingStored' });
    }
  });

  test.each([
    ['of another user', userKeyOf(bob)],
    ['of a user of another issuer', userKeyOf({ ...alice, issuer: 'https://other' })],
    ['of another server', userKeyOf(alice, { ...github, name: 'jira' })],
  ])('never when the UserKey is %s', (_, userKey) => {
    expect(decideOpening(userKey, server, alice)).toEqual({ kind: 'mismatch' });
  });

  test('also when the user has another display name now', () => {
    expect(decideOpening(userKeyOf({ ...alice, name: 'Alice B.' }), server, alice)).toMatchObject({ kind: 'open' });
  });

  test.each([
    ['Configured', 'open'],
    ['Missing', 'open'],
    ['Expiring', 'open'],
    ['NeedsUpdate', 'open'],
    ['Unverified', 'open'],
    ['Invalid', 'invalid'],
    ['Revoked', 'invalid'],
    // By the version that was opened and the time of now.
    ['Expired', 'open'],
    ['PendingApproval', 'pendingApproval'],
  ] as const)('in state %s: %s', (state, expected) => {
    const opening = decideOpening(userKeyOf(alice, github, { version: 1, state }), server, alice);
    expect(opening.kind === 'refused' ? opening.refusal : opening.kind).toBe(expected);
  });
});

function failed(version: number) {
  return { version, verdict: 'Rejected', failures: 1 } as const;
}

describe('a version that the upstream has refused', () => {
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
    [
      'opens no door that another state shuts',
      { version: 4, state: 'PendingApproval', rejected: { version: 3, at } },
      'pendingApproval',
    ],
    ['stays shut by probes too', { version: 4, state: 'Invalid', verification: failed(4) }, 'invalid'],
    [
      'stays shut by probes, after an older one that was refused',
      { version: 4, state: 'Invalid', rejected: { version: 3, at }, verification: failed(4) },
      'invalid',
    ],
    ['does not shut a newer one by probes', { version: 5, state: 'Invalid', verification: failed(4) }, 'open'],
    [
      'is open while its failure is to be confirmed',
      { version: 4, state: 'Unverified', verification: failed(4) },
      'open',
    ],
    [
      'is open once a probe accepts it, before the state follows',
      { version: 4, state: 'Invalid', verification: { ...failed(4), verdict: 'Accepted' } },
      'open',
    ],
    ['is not there without a key', { rejected: { version: 3, at } }, 'nothingStored'],
  ] as const)('%s', (_, status, expected) => {
    const opening = decideOpening(userKeyOf(alice, github, status), server, alice);
    expect(opening.kind === 'refused' ? opening.refusal : opening.kind).toBe(expected);
  });
});

describe('a version that was revoked', () => {
  const revoked = { version: 3, at: '2026-11-24T10:00:00Z', by: 'root' };

  test.each([
    ['stays shut, whatever the state says', { version: 3, state: 'Configured', revoked }, 'invalid'],
    ['stays shut when an older one is put back', { version: 2, state: 'Configured', revoked }, 'invalid'],
    ['does not shut a newer one', { version: 4, state: 'Configured', revoked }, 'open'],
    ['nor does the state that followed it', { version: 4, state: 'Revoked', revoked }, 'open'],
    ['opens no door that another state shuts', { version: 4, state: 'PendingApproval', revoked }, 'pendingApproval'],
    [
      'opens no door that the upstream has shut',
      { version: 4, state: 'Revoked', revoked, rejected: { version: 4, at: revoked.at } },
      'invalid',
    ],
  ] as const)('%s', (_, status, expected) => {
    const opening = decideOpening(userKeyOf(alice, github, status), server, alice);
    expect(opening.kind === 'refused' ? opening.refusal : opening.kind).toBe(expected);
  });

  test('is not opened where what lies sealed is newer than the record and not newer than what was revoked', () => {
    const opening = decideOpening(userKeyOf(alice, github, { version: 4, revoked }), server, alice);
    expect(opening).toEqual({ kind: 'open', versionMin: 4 });
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

  test.each(['missing', 'invalid', 'expired'] as const)('the command also when the key is %s', (refusal) => {
    const headers = [declared('X-A', true), declared('X-B', true)];
    const { hints, message } = explainRefusal(refusal, { server, subject: alice }, headers);
    expect(hints.map(({ name }) => name)).toEqual(['X-A', 'X-B']);
    expect(message).toContain('kubectl mcpkeys set github -n team-a');
  });
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
