import { describe, expect, test } from 'vitest';

import type { UserKeyControl } from '#cli/contract/request-control.ts';
import type { UserKeyPolicySpec } from '#crds/v1alpha1/generated/user-key-policy.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import { userKeyPolicies, userKeys } from '#operator/kube/keyring-resources.ts';
import type { Right } from '#operator/rights/verbs.ts';
import { verifies } from '#test/requirements.ts';

import { namespace, testIntake } from '../intake/fixtures.ts';

const day = 86_400_000;
const set = { v: 1, operation: 'set', server: 'github' } as const;
const key = { Authorization: 'ghp_alice' };
const request = (reason?: string) =>
  ({ v: 1, operation: 'approval-request', server: 'github', ...(reason === undefined ? {} : { reason }) }) as const;
const grant = (user: string, more: object = {}) =>
  ({ v: 1, operation: 'approval-grant', server: 'github', user, ...more }) as UserKeyControl;
const refuse = (user: string, reason = 'not yours') =>
  ({ v: 1, operation: 'approval-refuse', server: 'github', user, reason }) as const;
const list = { v: 1, operation: 'approval-list' } as const;

const policy = (name: string, spec: Partial<UserKeyPolicySpec>) => ({
  apiVersion: 'mcpkeyring.io/v1alpha1',
  kind: 'UserKeyPolicy',
  metadata: { namespace, name },
  spec: { servers: { names: ['github'] }, ...spec },
});
const gated = (approval: UserKeyPolicySpec['approval'] = {}, name = 'gate') =>
  policy(name, { approval: { required: true, ...approval } });

/** `boss` and `clerk` have the verb `approve`; `boss` is in `security`. Everybody may use every server. */
async function office(...policies: object[]) {
  const may = { approve: new Set(['boss', 'clerk', 'alice']) };
  const ask = (user: { username: string }, { verb }: Right) =>
    Promise.resolve(verb === 'use' || may.approve.has(user.username) ? ('allowed' as const) : ('denied' as const));
  const world = await testIntake({ rights: { ask } });
  world.groupsOf.set('boss', ['security', 'staff']);
  for (const one of policies) world.cluster.put(userKeyPolicies, one as never);
  const later = (ms: number) => (world.clock.now = new Date(world.clock.now.getTime() + ms));
  const userKeyOf = (user = 'alice') =>
    (world.informers.userKeys.store.list() as UserKey[]).find(({ spec }) => spec.subject.id === user);
  const approvalOf = (user = 'alice') => userKeyOf(user)?.status?.approval;
  const types = () => world.audited.map(({ type }) => type);
  return { ...world, may, later, userKeyOf, approvalOf, types };
}

const refused = (code: string) => ({ outcome: 'refused', code });

describe('asking for approval', () => {
  test('makes a UserKey without a key, which waits', async () => {
    verifies('approval:request');
    const w = await office(gated());
    expect(await w.ask(request('on call'))).toMatchObject({
      operation: 'approval-request',
      approval: { state: 'Requested', reason: 'on call' },
    });
    expect(w.userKeyOf()?.status).toEqual({
      approval: { state: 'Requested', at: w.clock.now.toISOString(), reason: 'on call' },
    });
    expect(w.userKeyOf()?.metadata.finalizers).not.toEqual([]);
    expect(w.audited).toMatchObject([
      {
        type: 'approval.requested',
        subject: { id: 'alice' },
        reason: 'on call',
        actor: 'alice',
        organization: 'default',
      },
    ]);
  });

  test('is done by setting a key, whose user is told so', async () => {
    verifies('approval:request');
    const w = await office(gated());
    const stored = await w.ask(set, key);
    expect(stored).toMatchObject({ outcome: 'ok', notices: [expect.stringContaining('asks for approval')] });
    expect(w.approvalOf()).toMatchObject({ state: 'Requested' });
    expect(w.types()).toEqual(['key.set', 'approval.requested']);
    await w.ask(set, key);
    expect(w.types()).toEqual(['key.set', 'approval.requested', 'key.set']);
  });

  test('needs the right to use the server, and a policy that wants it', async () => {
    const w = await office();
    expect(await w.ask(request())).toMatchObject(refused('ApprovalNotNeeded'));
    expect(await w.ask({ ...request(), server: 'open' })).toMatchObject(refused('ServerNeedsNoKey'));
    expect(await w.ask({ ...request(), server: 'no-such' })).toMatchObject(refused('ServerNotFound'));
    expect(w.userKeyOf()).toBeUndefined();
  });

  test('records the groups by which it is decided which policies are about the user', async () => {
    const w = await office(policy('some', { subjects: { groups: ['contractors'] }, approval: { required: true } }));
    expect(await w.ask(request(), {}, 'carl')).toMatchObject(refused('ApprovalNotNeeded'));
    w.groupsOf.set('carl', ['contractors', 'private']);
    expect(await w.ask(request(), {}, 'carl')).toMatchObject({ outcome: 'ok' });
    expect(w.userKeyOf('carl')?.status?.subject?.groups).toEqual(['contractors']);
    expect(await w.ask(grant('carl'), {}, 'boss')).toMatchObject({ outcome: 'ok' });
  });

  test('is taken up again after a failure at each step, and recorded once', async () => {
    verifies('approval:on-record');
    for (let step = 1; step < 4; step += 1) {
      const w = await office(gated());
      const { request: sent } = w.send(request('on call'));
      let calls = 0;
      w.cluster.beforeCall = (call) => {
        if (!call.includes('userkeys/')) return;
        calls += 1;
        if (calls === step) throw new Error('lost');
      };
      await w.handle(sent).catch(() => undefined);
      w.cluster.beforeCall = () => undefined;
      await w.handle(sent);
      expect(w.approvalOf()).toMatchObject({ state: 'Requested', reason: 'on call' });
      expect(new Set(w.audited.map(({ id }) => id)).size).toBe(1);
    }
  });
});

describe('an approver', () => {
  test('sees who waits, where they have the verb, the longest first', async () => {
    verifies('approval:list');
    const w = await office(gated({ approvers: { groups: ['security'] } }));
    await w.ask(request('first'));
    w.later(1_000);
    await w.ask(set, key, 'bob');
    const seen = await w.ask(list, {}, 'boss');
    expect(seen).toMatchObject({
      waiting: [
        { server: 'github', user: { id: 'alice' }, waiting: 'Requested', reason: 'first' },
        { server: 'github', user: { id: 'bob' }, waiting: 'Requested' },
      ],
      more: 0,
    });
    expect(seen).not.toHaveProperty('waiting.0.undecidable');
    expect(await w.ask(list, {}, 'clerk')).toMatchObject({
      waiting: [{ undecidable: expect.stringContaining('security') }, {}],
    });
    expect(await w.ask(list, {}, 'bob')).toMatchObject({ waiting: [], more: 0 });
  });

  test('sees who had a key before a policy asked, and whose grant has ended, and nobody else', async () => {
    verifies('approval:list');
    const w = await office();
    await w.ask(set, key);
    expect(await w.ask(list, {}, 'boss')).toMatchObject({ waiting: [] });
    w.cluster.put(userKeyPolicies, gated({ validFor: '1d' }) as never);
    expect(await w.ask(list, {}, 'boss')).toMatchObject({ waiting: [{ waiting: 'NotAsked' }] });
    await w.ask(grant('alice'), {}, 'boss');
    expect(await w.ask(list, {}, 'boss')).toMatchObject({ waiting: [] });
    await w.ask(request('more'));
    expect(await w.ask(list, {}, 'boss')).toMatchObject({ waiting: [{ waiting: 'Renewal', reason: 'more' }] });
    w.later(day);
    expect(await w.ask(list, {}, 'boss')).toMatchObject({ waiting: [{ waiting: 'Ended' }] });
  });

  test('grants until policies let it last, or earlier, and on record before it is in force', async () => {
    verifies('approval:grant');
    const w = await office(gated({ approvers: { groups: ['security'] }, validFor: '30d' }));
    await w.ask(request());
    w.later(60_000);
    const from = w.clock.now.getTime();
    const order: string[] = [];
    w.cluster.beforeCall = (call) => void (call.startsWith('applyStatus') && order.push(w.types().join()));
    const answer = await w.ask(grant('alice', { reason: 'ticket 7' }), {}, 'boss');
    expect(answer).toMatchObject({ user: { id: 'alice' }, approval: { state: 'Granted' } });
    expect(order).toEqual(['approval.requested,approval.granted']);
    const until = new Date(from + 30 * day).toISOString();
    expect(w.approvalOf()).toEqual({
      state: 'Granted',
      at: new Date(from).toISOString(),
      by: 'boss',
      until,
      reason: 'ticket 7',
    });
    expect(w.audited.at(-1)).toMatchObject({
      type: 'approval.granted',
      subject: { id: 'alice' },
      server: { namespace, name: 'github' },
      approver: { id: 'boss' },
      groups: ['security'],
      until,
      reason: 'ticket 7',
      actor: 'boss',
    });
    await w.ask(grant('alice', { lifeSeconds: 3_600 }), {}, 'boss');
    expect(w.approvalOf()).toMatchObject({ until: new Date(from + 3_600_000).toISOString() });
  });

  test('grants for good where no policy says how long', async () => {
    const w = await office(gated());
    await w.ask(request());
    await w.ask(grant('alice'), {}, 'boss');
    expect(w.approvalOf()).toMatchObject({ state: 'Granted' });
    expect(w.approvalOf()).not.toHaveProperty('until');
  });

  test.each([
    ['longer than the strictest policy lets it last', { lifeSeconds: 7 * 86_400 + 1 }, 'ExpiryRefused'],
    ['until a time that has passed', { until: '2020-01-01T00:00:00.000Z' }, 'ExpiryRefused'],
    ['until after the last year', { lifeSeconds: 999_999 * 86_400 }, 'ExpiryRefused'],
  ])('grants nothing %s', async (_, end, code) => {
    verifies('approval:ends');
    const w = await office(gated({ validFor: '30d' }), gated({ validFor: '7d' }, 'stricter'));
    await w.ask(request());
    expect(await w.ask(grant('alice', end), {}, 'boss')).toMatchObject(refused(code));
    expect(w.approvalOf()).toMatchObject({ state: 'Requested' });
  });

  test('refuses with a reason, which its user is told when they set a key', async () => {
    verifies('approval:refuse');
    const w = await office(gated());
    await w.ask(request());
    expect(await w.ask(refuse('alice', 'ask legal.'), {}, 'boss')).toMatchObject({ approval: { state: 'Refused' } });
    const answer = await w.ask(set, key);
    expect(answer).toMatchObject({ ...refused('ApprovalRefused'), message: expect.stringContaining('ask legal.') });
    expect(w.userKeyOf()?.status?.version).toBeUndefined();
    expect(await w.ask(request('legal says yes'))).toMatchObject({ approval: { state: 'Requested' } });
    expect(await w.ask(set, key)).toMatchObject({ outcome: 'ok' });
  });

  test('takes a grant back by refusing later', async () => {
    verifies('approval:refuse');
    const w = await office(gated());
    await w.ask(set, key);
    await w.ask(grant('alice'), {}, 'boss');
    w.later(60_000);
    expect(await w.ask(refuse('alice', 'left the team'), {}, 'clerk')).toMatchObject({ outcome: 'ok' });
    expect(w.approvalOf()).toEqual({
      state: 'Refused',
      at: w.clock.now.toISOString(),
      by: 'clerk',
      reason: 'left the team',
    });
    expect(w.audited.at(-1)).toMatchObject({ type: 'approval.refused', approver: { id: 'clerk' } });
  });

  test('does not overrule unseen what another has decided since the order', async () => {
    verifies('approval:race');
    const w = await office(gated());
    await w.ask(request());
    w.later(60_000);
    const late = w.send(grant('alice'), {}, 'boss');
    w.later(5_000);
    await w.ask(refuse('alice'), {}, 'clerk');
    await w.handle(late.request);
    expect(late.openResponse(w.stored(late.request)?.status?.sealedResponse ?? '')).toMatchObject(
      refused('ApprovalChanged'),
    );
    expect(w.approvalOf()).toMatchObject({ state: 'Refused', by: 'clerk' });
  });

  test('is taken up again after a failure at each step, and recorded once', async () => {
    verifies('approval:on-record');
    for (let step = 1; step < 4; step += 1) {
      const w = await office(gated({ validFor: '1d' }));
      await w.ask(request());
      w.later(60_000);
      const { request: sent } = w.send(grant('alice'), {}, 'boss');
      let calls = 0;
      w.cluster.beforeCall = () => {
        calls += 1;
        if (calls === step) throw new Error('lost');
      };
      await w.handle(sent).catch(() => undefined);
      w.cluster.beforeCall = () => undefined;
      await w.handle(sent);
      expect(w.approvalOf()).toMatchObject({ state: 'Granted', by: 'boss' });
      const ids = w.audited.filter(({ type }) => type === 'approval.granted').map(({ id }) => id);
      expect(new Set(ids).size).toBe(1);
    }
  });

  test('decides about nobody that no policy asks about, so that a grant never comes before its policy', async () => {
    verifies('approval:approvers');
    const w = await office();
    await w.ask(set, key);
    expect(await w.ask(grant('alice'), {}, 'boss')).toMatchObject(refused('ApprovalNotNeeded'));
    expect(w.approvalOf()).toBeUndefined();
  });
});

describe('an attack on approval:', () => {
  test('by somebody without the verb', async () => {
    verifies('approval:approvers');
    const w = await office(gated());
    await w.ask(request());
    for (const control of [grant('alice'), refuse('alice')]) {
      expect(await w.ask(control, {}, 'mallory')).toMatchObject(refused('Forbidden'));
    }
    expect(w.audited.at(-1)).toMatchObject({ type: 'denied', reason: 'Forbidden', subject: { id: 'mallory' } });
    expect(w.approvalOf()).toMatchObject({ state: 'Requested' });
  });

  test('by somebody with the verb who is in no group of approvers, of one of the policies', async () => {
    verifies('approval:approvers');
    const w = await office(
      gated({ approvers: { groups: ['security'] } }),
      policy('legal-too', { approval: { approvers: { groups: ['legal'] } } }),
    );
    await w.ask(request());
    for (const approver of ['clerk', 'boss']) {
      expect(await w.ask(grant('alice'), {}, approver)).toMatchObject(refused('ApproverRefused'));
      expect(w.audited.at(-1)).toMatchObject({ type: 'denied', reason: 'ApproverRefused', subject: { id: approver } });
    }
    w.groupsOf.set('boss', ['security', 'legal']);
    expect(await w.ask(grant('alice'), {}, 'boss')).toMatchObject({ outcome: 'ok' });
  });

  test('by a user who approves themselves with every right there is', async () => {
    verifies('approval:not-oneself');
    const w = await office(gated({ approvers: { groups: ['security'] } }));
    w.groupsOf.set('alice', ['security']);
    await w.ask(request());
    expect(await w.ask(grant('alice'), {}, 'alice')).toMatchObject(refused('ApproverRefused'));
    expect(w.audited.at(-1)).toMatchObject({ type: 'denied', reason: 'ApproverRefused' });
    expect(w.approvalOf()).toMatchObject({ state: 'Requested' });
  });

  test('by a user who takes the name of the approver, so that nobody could take their grant back', async () => {
    verifies('approval:not-oneself');
    const w = await office(gated());
    await w.ask(request());
    await w.ask(grant('alice'), {}, 'boss');
    w.later(60_000);
    const userKey = w.userKeyOf() as UserKey;
    const subject = { ...userKey.spec.subject, issuer: 'https://idp.example.com', name: 'clerk' };
    w.cluster.put(userKeys, {
      ...userKey,
      metadata: {
        ...userKey.metadata,
        name: w.store.userKeyNameOf({ server: { namespace, name: 'github' }, subject }),
      },
      spec: { ...userKey.spec, subject },
    });
    const one = `${subject.issuer}/alice`;
    expect(await w.ask(grant(one), {}, 'clerk')).toMatchObject(refused('ApproverRefused'));
    expect(await w.ask(refuse(one), {}, 'clerk')).toMatchObject({ approval: { state: 'Refused' } });
  });

  test('by a user who takes the name of another, for whom an approver then takes them', async () => {
    verifies('approval:names');
    const w = await office(gated());
    await w.ask(request(), {}, 'mallory');
    const userKey = w.userKeyOf('mallory') as UserKey;
    w.cluster.put(userKeys, {
      ...userKey,
      spec: { ...userKey.spec, subject: { ...userKey.spec.subject, name: 'alice' } },
    });
    const answer = await w.ask(grant('alice'), {}, 'boss');
    expect(answer).toMatchObject({
      ...refused('KeyNotFound'),
      message: expect.stringContaining('mallory of kubernetes'),
    });
    expect(w.approvalOf('mallory')).toMatchObject({ state: 'Requested' });
    const key16 = userKey.metadata.name.slice(-16);
    expect(await w.ask(grant(key16), {}, 'boss')).toMatchObject({ user: { id: 'mallory' } });
  });

  test('by deleting and setting again what was refused, or had been granted', async () => {
    verifies('approval:deleted');
    const w = await office(gated());
    await w.ask(set, key);
    await w.ask(grant('alice'), {}, 'boss');
    await w.ask({ v: 1, operation: 'delete', server: 'github' });
    await w.ask(set, key);
    expect(w.approvalOf()).toMatchObject({ state: 'Requested' });
    await w.ask(refuse('alice'), {}, 'boss');
    await w.ask({ v: 1, operation: 'delete', server: 'github' });
    await w.ask(set, key);
    expect(w.approvalOf()).toMatchObject({ state: 'Requested' });
  });

  test('by a UserKey that somebody made up', async () => {
    const w = await office(gated());
    await w.ask(request());
    const userKey = w.userKeyOf() as UserKey;
    const bob = { issuer: 'kubernetes', id: 'bob', name: 'bob' };
    w.cluster.put(userKeys, {
      ...userKey,
      metadata: { ...userKey.metadata, uid: 'other', name: 'github-aaaaaaaaaaaaaaaa' },
      spec: { ...userKey.spec, subject: bob },
    });
    expect(await w.ask(grant('bob'), {}, 'boss')).toMatchObject(refused('KeyNotFound'));
    expect(await w.ask(list, {}, 'boss')).toMatchObject({ waiting: [{ user: { id: 'alice' } }] });
  });

  test('while nobody can be asked who may', async () => {
    const w = await office(gated());
    await w.ask(request());
    Object.assign(w.deps, { rights: { ask: () => Promise.resolve('unknown') } });
    expect(await w.ask(grant('alice'), {}, 'boss')).toMatchObject(refused('RightsUnavailable'));
    expect(await w.ask(list, {}, 'boss')).toMatchObject(refused('RightsUnavailable'));
  });
});
