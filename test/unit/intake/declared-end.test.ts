import { describe, expect, test } from 'vitest';

import { parseControl, type SetControl } from '#cli/contract/request-control.ts';
import { secrets } from '#operator/kube/resources.ts';
import { userKeyPolicies } from '#operator/kube/keyring-resources.ts';
import { verifies } from '#test/requirements.ts';
import { policy } from '#test/unit/controllers/fixtures.ts';

import { keyNamespace } from '../keystore/fixtures.ts';
import { github, jira, namespace, testIntake } from './fixtures.ts';

const set = (server: string, end: Partial<SetControl> = {}): SetControl => ({ v: 1, operation: 'set', server, ...end });
const dayMs = 86_400_000;

async function keyOf(world: Awaited<ReturnType<typeof testIntake>>, server: string) {
  const answer = await world.ask({ v: 1, operation: 'status', server });
  if (answer.outcome !== 'ok' || answer.operation !== 'status') throw new Error(JSON.stringify(answer));
  return answer.key;
}

describe('the end that a user declares', () => {
  test('is sealed with the key, shown, and obeyed without any policy', async () => {
    const world = await testIntake();
    const startMs = world.clock.now.getTime();
    const answer = await world.ask(set('github', { lifeSeconds: 20 * 86_400 }), { Authorization: 'ghp_1' });
    const expiresAt = new Date(startMs + 20 * dayMs).toISOString();
    expect(answer).toMatchObject({ key: { state: 'Configured', expiresAt, expiryReason: 'DeclaredExpiry' } });
    expect(await keyOf(world, 'github')).toMatchObject({ headers: [{ declaredExpiresAt: expiresAt }] });
    world.clock.now = new Date(startMs + 10 * dayMs);
    expect(await keyOf(world, 'github')).toMatchObject({ state: 'Expiring' });
    world.clock.now = new Date(startMs + 20 * dayMs);
    expect(await keyOf(world, 'github')).toMatchObject({ state: 'Expired', expiresAt });
  });

  test('gives way to a maximum age that comes first', async () => {
    const world = await testIntake();
    world.cluster.put(userKeyPolicies, policy({ name: 'age', expiry: { maxAge: '5d' } }));
    const answer = await world.ask(set('github', { lifeSeconds: 20 * 86_400 }), { Authorization: 'ghp_1' });
    expect(answer).toMatchObject({ key: { expiryReason: 'MaxAge' } });
  });

  test('is of the values that were given with it, and of no others', async () => {
    const world = await testIntake();
    const [email, token] = ['2027-01-31T00:00:00.000Z', '2027-06-30T00:00:00.000Z'];
    await world.ask(set('jira', { expiresAt: token }), { 'X-Jira-Token': 'one' });
    await world.ask(set('jira', { expiresAt: email }), { 'X-Jira-Email': 'ada@example.com' });
    expect(await keyOf(world, 'jira')).toMatchObject({
      expiresAt: email,
      headers: [
        { name: 'X-Jira-Email', declaredExpiresAt: email },
        { name: 'X-Jira-Token', declaredExpiresAt: token },
      ],
    });
    await world.ask(set('jira'), { 'X-Jira-Email': 'ada@example.com' });
    const key = await keyOf(world, 'jira');
    expect(key.expiresAt).toBe(token);
    expect(key.headers[0]).not.toHaveProperty('declaredExpiresAt');
  });

  test(verifies('expiry:declared'), async () => {
    const world = await testIntake();
    await world.ask(set('github', { lifeSeconds: 86_400 }), { Authorization: 'ghp_1' });
    const address = {
      organization: 'default',
      server: { namespace, name: 'github' },
      serverUid: github.metadata.uid ?? '',
      subject: { issuer: 'kubernetes', id: 'alice', name: 'alice' },
    };
    using before = await world.store.open(address, 0);
    const declaredAtMs = before?.headers[0]?.ends?.declaredAtMs ?? 0;
    expect(declaredAtMs).toBe(world.clock.now.getTime() + dayMs);
    const sealed = [...world.cluster.objects.values()].find(({ metadata }) => metadata.namespace === keyNamespace);
    if (sealed === undefined || !('data' in sealed)) throw new Error('nothing is sealed');
    const { header = '', ciphertext = '' } = sealed.data as Record<string, string>;
    const text = Buffer.from(header, 'base64').toString();
    for (const edited of [
      text.replace(String(declaredAtMs), String(declaredAtMs + 365 * dayMs)),
      text.replace(`"exp":[${declaredAtMs}],`, ''),
    ]) {
      expect(edited).not.toBe(text);
      const data = { header: Buffer.from(edited).toString('base64'), ciphertext };
      world.cluster.put(secrets, { ...sealed, data } as never);
      await expect(world.store.open(address, 0)).rejects.toMatchObject({ code: 'Unreadable' });
    }
  });

  test(verifies('expiry:declared-refused'), async () => {
    const world = await testIntake();
    const now = world.clock.now.toISOString();
    for (const end of [{ expiresAt: now }, { expiresAt: '1999-01-01T00:00:00.000Z' }]) {
      expect(await world.ask(set('github', end), { Authorization: 'ghp_1' })).toMatchObject({
        code: 'ExpiryRefused',
        message: `The key is said to have ended at ${end.expiresAt}; now it is ${now}. Nothing was stored.`,
      });
    }
    world.clock.now = new Date('9000-01-01T00:00:00.000Z');
    const beyond = await world.ask(set('github', { lifeSeconds: 999_999 * 86_400 }), { Authorization: 'ghp_1' });
    expect(beyond).toMatchObject({ code: 'ExpiryRefused', message: expect.stringContaining('9999') });
    expect([...world.cluster.objects.values()].some(({ metadata }) => metadata.namespace === keyNamespace)).toBe(false);
  });

  test.each([
    { expiresAt: '2027-02-30T00:00:00.000Z' },
    { expiresAt: '2027-01-31' },
    { expiresAt: '+010000-01-01T00:00:00.000Z' },
    { expiresAt: 1_798_761_600_000 },
    { lifeSeconds: 0 },
    { lifeSeconds: 1.5 },
    { lifeSeconds: 86_400_000_000 },
    { lifeSeconds: '30d' },
    { expiresAt: '2027-01-31T00:00:00.000Z', lifeSeconds: 30 },
  ])('is no order when it is written as %j', (end) => {
    const control = Buffer.from(JSON.stringify({ v: 1, operation: 'set', server: 'github', ...end }));
    expect(() => parseControl(control)).toThrow(TypeError);
    expect(() => parseControl(Buffer.from(control.toString().replace('"set"', '"status"')))).toThrow(TypeError);
  });
});

test('no other server is touched by it', async () => {
  const world = await testIntake();
  await world.ask(set('github', { lifeSeconds: 86_400 }), { Authorization: 'ghp_1' });
  await world.ask(set(jira.metadata.name), { 'X-Jira-Email': 'ada@example.com', 'X-Jira-Token': 'one' });
  expect((await keyOf(world, 'jira')).expiresAt).toBeUndefined();
});

describe('a key that has its end in it', () => {
  const token = (expSeconds: number) =>
    [{ alg: 'none' }, { sub: 'ada-is-nobodys-business', exp: expSeconds }]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .concat('c2ln')
      .join('.');

  test('ends then, and earlier where its user says so', async () => {
    const world = await testIntake();
    const inDays = (days: number) => new Date(world.clock.now.getTime() + days * dayMs).toISOString();
    const endSeconds = (world.clock.now.getTime() + 20 * dayMs) / 1_000;
    const values = { 'X-Jira-Email': 'ada@example.com', 'X-Jira-Token': token(endSeconds) };
    const answer = await world.ask(set('jira'), values);
    expect(answer).toMatchObject({ key: { expiresAt: inDays(20), expiryReason: 'DetectedExpiry' } });
    expect(await keyOf(world, 'jira')).toMatchObject({
      headers: [{ name: 'X-Jira-Email' }, { name: 'X-Jira-Token', detectedExpiresAt: inDays(20) }],
    });
    const earlier = await world.ask(set('jira', { lifeSeconds: 86_400 }), values);
    expect(earlier).toMatchObject({ key: { expiresAt: inDays(1), expiryReason: 'DeclaredExpiry' } });
    expect(JSON.stringify([world.audited, answer, [...world.cluster.objects]])).not.toContain('nobodys-business');
  });

  test('is not stored when it has ended, and nothing of it is in the answer', async () => {
    const world = await testIntake();
    const ended = token(world.clock.now.getTime() / 1_000);
    const answer = await world.ask(set('jira'), { 'X-Jira-Email': 'ada@example.com', 'X-Jira-Token': ended });
    expect(answer).toMatchObject({
      code: 'ExpiryRefused',
      message: `X-Jira-Token: this key ended at ${world.clock.now.toISOString()}, as it says itself. Make a new one where you got it. Nothing was stored.`,
    });
    expect([...world.cluster.objects.values()].some(({ metadata }) => metadata.namespace === keyNamespace)).toBe(false);
  });
});
