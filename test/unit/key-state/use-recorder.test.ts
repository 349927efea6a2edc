import { describe, expect, test } from 'vitest';

import { silentLog } from '#operator/kube/observers.ts';
import { headerUsedAt, UseRecorder, usedAgainMs } from '#operator/key-state/use-recorder.ts';
import { verifies } from '#test/requirements.ts';
import { alice, github, userKeyOf } from '#test/support/broker-world.ts';

const startMs = Date.parse('2026-11-25T10:00:00.000Z');

/** Replicas that share what the API server has. */
function cluster(replicas: number) {
  const clock = { nowMs: startMs };
  const version = startMs - 86_400_000;
  const record = { usedAt: undefined as string | undefined, version };
  const written: string[] = [];
  const recorders = Array.from(
    { length: replicas },
    () =>
      new UseRecorder({
        client: {
          apply: (_type, object, options) => {
            const status: unknown = 'status' in object ? object.status : undefined;
            const { usedAt } = status as { readonly usedAt: string };
            expect(status).toEqual({ usedAt });
            expect(options).toMatchObject({ fieldManager: 'mcp-keyring-uses', subresource: 'status' });
            written.push(usedAt);
            record.usedAt = usedAt;
            return Promise.resolve(object as never);
          },
        },
        log: silentLog,
        now: () => new Date(clock.nowMs),
        monotonicMs: () => clock.nowMs,
      }),
  );
  const userKey = () => {
    const { usedAt } = record;
    return userKeyOf(alice, github, { version: record.version, ...(usedAt === undefined ? {} : { usedAt }) });
  };
  return { recorders, clock, record, written, userKey };
}

describe('the last use of a key', () => {
  test(verifies('key-use:quiet'), () => {
    const { recorders, clock, written, userKey } = cluster(3);
    for (let second = 0; second < 3_600; second += 10) {
      clock.nowMs = startMs + second * 1_000;
      for (const recorder of recorders) recorder.used(userKey());
    }
    expect(written).toHaveLength(3_600_000 / usedAgainMs);
    expect(written.at(-1)).toBe('2026-11-25T10:50:00.000Z');
  });

  test('is written anew for a key that was just changed', async () => {
    const { recorders, clock, record, written, userKey } = cluster(1);
    recorders[0]?.used(userKey());
    clock.nowMs += 61_000;
    recorders[0]?.used(userKey());
    expect(written).toHaveLength(1);
    record.version = clock.nowMs - 1_000;
    recorders[0]?.used(userKey());
    expect(written).toHaveLength(2);
    await recorders[0]?.close();
  });

  test('is none of a value that was set afterwards', () => {
    const usedAt = '2026-11-25T10:00:00.000Z';
    expect(headerUsedAt(usedAt, '2026-11-25T09:00:00.000Z')).toEqual({ usedAt });
    expect(headerUsedAt(usedAt, '2026-11-25T11:00:00.000Z')).toEqual({});
    expect(headerUsedAt(undefined, '2026-11-25T09:00:00.000Z')).toEqual({});
  });
});
