import { describe, expect, test } from 'vitest';

import { KubeError } from '#operator/kube/errors.ts';
import { silentLog } from '#operator/kube/observers.ts';
import { PacedStatusWrites } from '#operator/key-state/paced-status-writes.ts';
import { alice, github, userKeyOf } from '#test/support/broker-world.ts';

function world(failure?: Error) {
  const written: { object: unknown; options: unknown; done: () => void }[] = [];
  const clock = { nowMs: 0 };
  const warned: string[] = [];
  const writes = new PacedStatusWrites({
    client: {
      apply: (_type, object, options) => {
        const { promise, resolve, reject } = Promise.withResolvers<never>();
        written.push({
          object,
          options,
          done: () => (failure === undefined ? resolve(object as never) : reject(failure)),
        });
        return promise;
      },
    },
    log: { ...silentLog, warn: (message) => warned.push(message) },
    monotonicMs: () => clock.nowMs,
    fieldManager: 'mcp-keyring-test',
    failed: 'it could not be written',
    limits: { spacingMs: 60_000, inFlightMax: 2, waitingMax: 3, trackedMax: 3 },
  });
  const key = (user: string) => {
    const made = userKeyOf({ ...alice, id: user });
    return { ...made, metadata: { ...made.metadata, uid: `uid-of-${user}` } };
  };
  const settle = async () => {
    for (const { done } of written) done();
    await new Promise((resolve) => setImmediate(resolve));
  };
  const usedAt = () => written.map(({ object }) => (object as { status: { usedAt: string } }).status.usedAt);
  return { writes, written, warned, clock, key, settle, usedAt };
}

describe('parts of a status that nobody waits for', () => {
  test('are written to that very UserKey, by a field manager that owns nothing else', () => {
    const { writes, written, key } = world();
    writes.write(key('a'), { usedAt: '1' });
    expect(written).toMatchObject([
      {
        object: { metadata: { namespace: github.namespace, uid: 'uid-of-a' }, status: { usedAt: '1' } },
        options: { fieldManager: 'mcp-keyring-test', subresource: 'status' },
      },
    ]);
    expect(JSON.stringify(written)).not.toContain('resourceVersion');
  });

  test('are written once a minute for a key', async () => {
    const { writes, clock, key, settle, usedAt } = world();
    writes.write(key('a'), { usedAt: '1' });
    await settle();
    clock.nowMs = 59_999;
    writes.write(key('a'), { usedAt: '2' });
    clock.nowMs = 60_000;
    writes.write(key('a'), { usedAt: '3' });
    expect(usedAt()).toEqual(['1', '3']);
  });

  test('are written a few at a time, the latest of what waits, and no more wait than there is room for', async () => {
    const { writes, key, settle, usedAt } = world();
    for (const user of ['a', 'b', 'c', 'd', 'e', 'f']) writes.write(key(user), { usedAt: `${user}1` });
    writes.write(key('d'), { usedAt: 'd2' });
    expect(usedAt()).toEqual(['a1', 'b1']);
    await settle();
    await settle();
    await settle();
    expect(usedAt()).toEqual(['a1', 'b1', 'c1', 'd2', 'e1']);
  });

  test('are given up where the key is gone, and told of where the API server fails', async () => {
    for (const [failure, warnings] of [
      [new KubeError('NotFound', 'gone'), 0],
      [new KubeError('Conflict', 'another one'), 0],
      [new KubeError('Unavailable', 'down'), 1],
    ] as const) {
      const { writes, warned, key, settle } = world(failure);
      writes.write(key('a'), { usedAt: '1' });
      await settle();
      expect(warned).toHaveLength(warnings);
      await writes.close();
    }
  });

  test('are not written of a key that is being deleted, nor after the end', async () => {
    const { writes, key, settle, usedAt } = world();
    const deleted = key('a');
    writes.write(
      { ...deleted, metadata: { ...deleted.metadata, deletionTimestamp: '2026-11-25T10:00:00Z' } },
      { usedAt: '1' },
    );
    for (const user of ['b', 'c', 'd']) writes.write(key(user), { usedAt: user });
    const closed = writes.close();
    await settle();
    await closed;
    writes.write(key('e'), { usedAt: 'e' });
    expect(usedAt()).toEqual(['b', 'c']);
  });
});
