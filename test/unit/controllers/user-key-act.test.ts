import { Registry } from 'prom-client';
import { describe, expect, test } from 'vitest';

import { annotations, labels } from '#crds/v1alpha1/names.ts';
import type { AuditEvent } from '#operator/audit/audit-log.ts';
import { userKeyActions } from '#operator/controllers/user-key/act.ts';
import { registerKeyMetrics } from '#operator/controllers/user-key/key-metrics.ts';
import { orphansIn } from '#operator/controllers/user-key/orphans.ts';
import type { Secret } from '#operator/kube/resources.ts';

import { now, subject, userKey, userKeyName } from './fixtures.ts';
import { FakeInformer } from './stores.ts';

const leaving = userKey({
  status: {
    version: 7,
    headers: [
      { name: 'Authorization', state: 'Configured' },
      { name: 'X-Team', state: 'Missing' },
    ],
  },
});

describe('destroying a key', () => {
  test('is recorded under an id that stays the same when it is tried again', async () => {
    const events: AuditEvent[] = [];
    const act = userKeyActions({
      keyStore: { destroy: async () => true },
      audit: { append: async (event) => void events.push(event) },
      now: () => now,
    });
    await act({ kind: 'recordDestroyed', userKey: leaving });
    await act({ kind: 'recordDestroyed', userKey: leaving });
    expect(events[0]).toEqual({
      type: 'key.destroyed',
      id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
      at: '2026-03-01T10:00:00.000Z',
      server: { namespace: 'team-a', name: 'github' },
      subject,
      keyVersion: 7,
      headerNames: ['Authorization'],
      actor: expect.stringContaining('mcp-keyring-operator'),
    });
    expect(events[1]?.id).toBe(events[0]?.id);
  });

  test('fails when it is not destroyed, and when that cannot be recorded', async () => {
    const broken = userKeyActions({
      keyStore: { destroy: () => Promise.reject(new Error('not destroyed')) },
      audit: { append: () => Promise.reject(new Error('not recorded')) },
      now: () => now,
    });
    const server = { namespace: 'team-a', name: 'github' };
    await expect(broken({ kind: 'destroyKey', server, subject })).rejects.toThrow('not destroyed');
    await expect(broken({ kind: 'recordDestroyed', userKey: leaving })).rejects.toThrow('not recorded');
  });
});

describe('orphaned sealed keys', () => {
  function sealed(name: string, owner: Record<string, string>): Secret {
    return {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name, namespace: 'keys', annotations: owner, labels: { [labels.managed]: 'true' } },
    };
  }

  test('are those without a UserKey in the right namespace, and those that name none, and they are counted', async () => {
    const secrets = [
      sealed('used', { [annotations.namespace]: 'team-a', [annotations.userKey]: userKeyName }),
      sealed('elsewhere', { [annotations.namespace]: 'team-b', [annotations.userKey]: userKeyName }),
      sealed('gone', { [annotations.namespace]: 'team-a', [annotations.userKey]: 'github-qrstuvwxyz234567' }),
      sealed('nameless', {}),
    ];
    const sources = { sealedSecrets: new FakeInformer(secrets).store, userKeys: new FakeInformer([userKey()]).store };
    const registry = new Registry();
    registerKeyMetrics(registry, sources);
    const text = await registry.metrics();
    expect(text).toContain('mcpkeyring_orphaned_sealed_keys 3');
    expect(text).toContain('mcpkeyring_user_keys{namespace="team-a",server="github",state="Unknown"} 1');
    expect(orphansIn(sources).map(({ metadata }) => metadata.name)).toEqual(['elsewhere', 'gone', 'nameless']);
  });
});
