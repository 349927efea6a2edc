import { describe, expect, test } from 'vitest';

import { intakeSuite } from '#cli/contract/user-key-request.ts';
import { systemRandomness } from '#operator/envelope/randomness.ts';
import { IntakeKeys, intakeSecretName } from '#operator/intake/intake-keys.ts';
import { decideRotation, intakeKeyAgeMsMax, intakeKeyGraceMs } from '#operator/intake/key-rotation.ts';
import { phaseOf } from '#operator/intake/lifecycle.ts';
import { RequestLimiter, requestersMax, requestsPerWindowMax } from '#operator/intake/request-limiter.ts';
import { editDistance, nearestNames } from '#operator/intake/suggestions.ts';
import { secrets, type ConfigMap, type Secret } from '#operator/kube/resources.ts';

import { FakeCluster } from '../keystore/fake-cluster.ts';
import { emptySecret, operatorNamespace } from '../keystore/fixtures.ts';

const hour = 3_600_000;

describe('intake keys', () => {
  function world() {
    const cluster = new FakeCluster();
    cluster.put(secrets, emptySecret(intakeSecretName));
    const clock = { nowMs: Date.parse('2026-11-24T10:00:00Z') };
    const options = {
      client: cluster.client,
      namespace: operatorNamespace,
      randomness: systemRandomness,
      now: () => new Date(clock.nowMs),
    };
    const published = () => cluster.objects.get(`configmaps ${operatorNamespace}/mcp-keyring-intake`) as ConfigMap;
    const secret = () => cluster.objects.get(`secrets ${operatorNamespace}/${intakeSecretName}`) as Secret;
    return { cluster, clock, options, published, secret };
  }

  test('are made and their public part published, and a later leader finds the same', async () => {
    const { options, published } = world();
    const keys = new IntakeKeys(options);
    await keys.refresh();
    const { keyId, publicKey, suite } = published().data ?? {};
    expect(suite).toBe(intakeSuite);
    expect(keys.keyPairOf(keyId!)?.publicKey.toString('base64')).toBe(publicKey);
    const later = new IntakeKeys(options);
    await later.refresh();
    expect(published().data).toEqual({ keyId, publicKey, suite });
    expect(later.keyPairOf(keyId!)?.publicKey.toString('base64')).toBe(publicKey);
  });

  test('are replaced after a day, and the old one opens requests for an hour more', async () => {
    const { options, clock, published, secret } = world();
    const keys = new IntakeKeys(options);
    await keys.refresh();
    const first = published().data?.['keyId'] ?? '';
    clock.nowMs += 24 * hour;
    await keys.refresh();
    const second = published().data?.['keyId'] ?? '';
    expect(second).not.toBe(first);
    expect(keys.keyPairOf(first)).toBeDefined();
    clock.nowMs += hour;
    await keys.refresh();
    expect(published().data?.['keyId']).toBe(second);
    expect(keys.keyPairOf(first)).toBeUndefined();
    expect(Object.keys(secret().data ?? {})).toEqual([second, `${second}.created`]);
  });

  test('that are malformed are not used', async () => {
    const { options, cluster } = world();
    cluster.put(secrets, { ...emptySecret(intakeSecretName), data: { 'intake-0000000a': 'AAAA' } });
    await expect(new IntakeKeys(options).refresh()).rejects.toMatchObject({ code: 'KeyMaterialMalformed' });
  });
});

describe('rotation', () => {
  const key = (keyId: string, createdAtMs: number) => ({ keyId, createdAtMs });

  test.each([
    { name: 'makes the first key', keys: [], nowMs: 0, generate: true, drop: [] },
    { name: 'leaves a young key', keys: [key('a', 0)], nowMs: intakeKeyAgeMsMax - 1, generate: false, drop: [] },
    {
      name: 'replaces an old key and keeps it',
      keys: [key('a', 0)],
      nowMs: intakeKeyAgeMsMax,
      generate: true,
      drop: [],
    },
    {
      name: 'keeps the one before for a while',
      keys: [key('b', 10), key('a', 0)],
      nowMs: 9 + intakeKeyGraceMs,
      generate: false,
      drop: [],
    },
    {
      name: 'drops the one before after that',
      keys: [key('b', 10), key('a', 0)],
      nowMs: 10 + intakeKeyGraceMs,
      generate: false,
      drop: ['a'],
    },
    {
      name: 'drops all but the newest',
      keys: [key('a', 0), key('b', 1), key('c', 2)],
      nowMs: 2 + intakeKeyGraceMs,
      generate: false,
      drop: ['a', 'b'],
    },
  ])('$name', ({ keys, nowMs, generate, drop }) => {
    expect(decideRotation(keys, nowMs)).toEqual({ generate, drop });
  });
});

describe('the limit for each requester', () => {
  test('counts a request once, however often it is tried', () => {
    const limiter = new RequestLimiter();
    for (let attempt = 0; attempt < 2 * requestsPerWindowMax; attempt += 1)
      expect(limiter.admits('a', 'one', attempt)).toBe(true);
    for (let count = 1; count < requestsPerWindowMax; count += 1)
      expect(limiter.admits('a', `other-${count}`, 200)).toBe(true);
    expect(limiter.admits('a', 'too many', 200)).toBe(false);
    expect(limiter.admits('a', 'one', 200)).toBe(true);
    expect(limiter.admits('a', 'next minute', 60_000)).toBe(true);
  });

  test('remembers a bounded number of requesters, the busy ones longest', () => {
    const limiter = new RequestLimiter();
    for (let count = 0; count < requestsPerWindowMax; count += 1) limiter.admits('flooder', `${count}`, 0);
    for (let index = 0; index < requestersMax - 1; index += 1) limiter.admits(`user-${index}`, 'a', 1);
    expect(limiter.admits('flooder', 'more', 2)).toBe(false);
    limiter.admits('one more', 'a', 2);
    expect(limiter.admits('flooder', 'more', 2)).toBe(true);
  });
});

describe('the phase of a request', () => {
  const createdAt = Date.parse('2026-11-24T10:00:00Z');
  const answeredAt = (completedAt: string) => request({ completedAt });
  const request = (status: object = {}, metadata: object = { creationTimestamp: '2026-11-24T10:00:00Z' }) =>
    ({ metadata, status }) as unknown as Parameters<typeof phaseOf>[0];

  test.each([
    { name: 'new: handled', object: request(), ageMs: 0, expected: { kind: 'handle' } },
    { name: 'too old: removed', object: request(), ageMs: 300_000, expected: { kind: 'remove' } },
    { name: 'without a time: removed', object: request({}, {}), ageMs: 0, expected: { kind: 'remove' } },
    {
      name: 'answered: kept for a minute',
      object: answeredAt('2026-11-24T10:00:01Z'),
      ageMs: 2_000,
      expected: { kind: 'keep', forMs: 59_000 },
    },
    {
      name: 'answered late: kept until it is five minutes old',
      object: answeredAt('2026-11-24T10:04:30Z'),
      ageMs: 280_000,
      expected: { kind: 'keep', forMs: 20_000 },
    },
    {
      name: 'answered a minute ago: removed',
      object: answeredAt('2026-11-24T10:00:01Z'),
      ageMs: 61_000,
      expected: { kind: 'remove' },
    },
    { name: 'answered at no time: removed', object: answeredAt('x'), ageMs: 1_000, expected: { kind: 'remove' } },
  ])('$name', ({ object, ageMs, expected }) => {
    expect(phaseOf(object, createdAt + ageMs)).toEqual(expected);
  });
});

describe('suggestions', () => {
  test('are the nearest names, nearest first', () => {
    expect(nearestNames('githb', ['gitlab', 'github', 'jira'])).toEqual(['github', 'gitlab']);
    expect(nearestNames('note', ['notes-server', 'jira'])).toEqual(['notes-server']);
    expect(nearestNames('zzzzzz', ['github'])).toEqual([]);
  });

  test.each([
    ['', '', 0],
    ['abc', '', 3],
    ['', 'abc', 3],
    ['kitten', 'sitting', 3],
    ['same', 'same', 0],
  ])('the distance from %s to %s is %i', (left, right, distance) => {
    expect(editDistance(left, right)).toBe(distance);
  });
});
