import { describe, expect, test } from 'vitest';

import { KubeError } from '#operator/kube/errors.ts';
import { silentLog } from '#operator/kube/observers.ts';
import { SubjectRecorder } from '#operator/subjects/subject-recorder.ts';
import { subjectLimits } from '#operator/subjects/subject-limits.ts';
import { alice, github, policyOf, userKeyOf } from '#test/support/broker-world.ts';

const forGroups = (...groups: string[]) => [policyOf('p', { subjects: { groups } })];

function world() {
  const written: unknown[] = [];
  const clock = { nowMs: 0 };
  let failure: Error | undefined;
  const recorder = new SubjectRecorder({
    client: {
      apply: (_type, object) => {
        written.push(object);
        return Promise.reject(failure ?? new KubeError('NotFound', 'it is gone'));
      },
    },
    log: silentLog,
    now: () => new Date(Date.parse('2026-11-25T09:00:00Z') + clock.nowMs),
    monotonicMs: () => clock.nowMs,
  });
  return { recorder, written, clock, fail: (error: Error) => (failure = error) };
}

const key = userKeyOf(alice);

describe('in which groups a user was seen', () => {
  test('is written on their key, but only groups that a policy names, and nothing else of the status', () => {
    const { recorder, written } = world();
    recorder.seen(key, ['ops', 'private', 'dev'], forGroups('dev', 'ops', 'qa'));
    expect(written).toMatchObject([{ metadata: { namespace: github.namespace, name: key.metadata.name } }]);
    expect((written[0] as { status: unknown }).status).toEqual({
      subject: { groups: ['dev', 'ops'], seenAt: '2026-11-25T09:00:00.000Z' },
    });
  });

  test('is not written when no policy names one, nor when it is written already', () => {
    const { recorder, written } = world();
    recorder.seen(key, ['dev'], []);
    const status = { version: 1, subject: { groups: ['dev'], seenAt: '2026-11-25T08:00:00Z' } };
    recorder.seen(userKeyOf(alice, github, status), ['dev'], forGroups('dev'));
    expect(written).toEqual([]);
  });

  test('is written when a group was lost', () => {
    const { recorder, written } = world();
    const status = { version: 1, subject: { groups: ['dev'], seenAt: '2026-11-25T08:00:00Z' } };
    recorder.seen(userKeyOf(alice, github, status), [], forGroups('dev'));
    expect(written).toMatchObject([{ status: { subject: { groups: [] } } }]);
  });

  test('is written once a minute at most, whatever the user shows', () => {
    const { recorder, written, clock } = world();
    for (let i = 0; i < 10; i += 1) recorder.seen(key, [`g${i % 2}`], forGroups('g0', 'g1'));
    expect(written).toHaveLength(1);
    clock.nowMs += subjectLimits.writeSpacingMs;
    recorder.seen(key, ['g1'], forGroups('g0', 'g1'));
    expect(written).toHaveLength(2);
  });

  test('waits for nobody and breaks nothing when the API server refuses', async () => {
    const { recorder, fail } = world();
    fail(new KubeError('Unavailable', 'apply failed'));
    recorder.seen(key, ['dev'], forGroups('dev'));
    await expect(recorder.close()).resolves.toBeUndefined();
  });
});
