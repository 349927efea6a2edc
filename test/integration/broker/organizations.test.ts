import { randomUUID } from 'node:crypto';

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import type { ServerRef, Subject } from '#contract/lease.ts';
import type { Organization } from '#crds/v1alpha1/generated/organization.ts';
import { type Broker, createBroker } from '#operator/broker/broker.ts';
import { brokerLimits } from '#operator/broker/limits.ts';
import { createIdentity, type Identity } from '#operator/identity/create-identity.ts';
import { secrets, type Secret } from '#operator/kube/resources.ts';
import { InformerTenancy } from '#operator/tenancy/informer-tenancy.ts';
import { verifies } from '#test/requirements.ts';
import { TestBrokerClient } from '#test/support/broker-client.ts';
import { type BrokerWorld, brokerWorld, mcpServer, podOf } from '#test/support/broker-world.ts';
import { startOidcIssuer, type TestIssuer } from '#test/support/oidc-issuer.ts';
import { makeTestCertificate } from '#test/support/test-certificates.ts';
import { testIntake } from '#test/unit/intake/fixtures.ts';
import { headers, keyNamespace, testStore, type TestStore } from '#test/unit/keystore/fixtures.ts';

/**
 * Two organizations that trust one identity provider, each for an audience of its own, over the real parts: provider, verification,
 * tenancy, sealed keys and broker. Alice is in both, with another key in each. `<organization>-<n>` is a namespace.
 */
const github = (namespace: string): ServerRef => ({ namespace, name: 'github' });
const remote = (namespace: string): ServerRef => ({ namespace, name: 'linear' });
const podToken = (namespace: string): string => `pod:${namespace}/github-of-${namespace}`;
const gatewayToken = 'pod:mcp-keyring/gateway-0';
const agentToken = 'pod:acme-1/agent-0';
const namespaces = ['acme-1', 'globex-1'];
const keyIn = (namespace: string): string => `ghp_of-alice-in-${namespace}`;

let idp: TestIssuer;
let keys: TestStore;
let world: BrokerWorld;
let identity: Identity;
let broker: Broker;
let client: TestBrokerClient;
let alice: Subject;
let tenancy: InformerTenancy;
const token = (organization: string): Promise<string> => idp.token('alice', `urn:${organization}`);

function organizationOf(name: string): Organization {
  const claims = { subject: 'sub', groups: 'groups', name: 'email' };
  const issuer = { name: 'idp', type: 'OIDC', issuerURL: idp.url, audiences: [`urn:${name}`], claims } as const;
  return {
    apiVersion: 'mcpkeyring.io/v1alpha1',
    kind: 'Organization',
    metadata: { name, uid: `uid-of-${name}`, generation: 1 },
    spec: {
      plan: 'Enterprise',
      namespaceSelector: { matchLabels: { [name]: 'true' } },
      identity: { issuers: [{ ...issuer, caBundleRef: { name: 'idp-ca', key: 'ca.crt' } }] },
    },
  };
}

function belongsTo(name: string, ...organizations: readonly string[]): void {
  const labels = Object.fromEntries(organizations.map((organization) => [organization, 'true']));
  world.sources.namespaces.put({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, uid: `uid-of-${name}`, labels },
  });
}

async function storeKey(server: ServerRef, organization: string): Promise<void> {
  const address = { organization, server, serverUid: `uid-of-${server.namespace}-${server.name}`, subject: alice };
  const { version } = await keys.store.put(address, headers({ Authorization: keyIn(server.namespace) }));
  world.sources.userKeys.put({
    apiVersion: 'mcpkeyring.io/v1alpha1',
    kind: 'UserKey',
    metadata: { namespace: server.namespace, name: keys.store.userKeyNameOf(address), generation: 1 },
    spec: { serverRef: { name: server.name }, subject: alice },
    status: { version },
  });
}

beforeAll(async () => {
  idp = await startOidcIssuer();
  alice = { issuer: idp.url, id: 'alice', name: 'alice@example.com' };
});

afterAll(async () => {
  await idp?.[Symbol.asyncDispose]();
});

beforeEach(async () => {
  keys = await testStore();
  world = brokerWorld();
  const { sources } = world;
  for (const name of ['acme', 'globex']) sources.organizations.put(organizationOf(name));
  for (const namespace of namespaces) {
    const [organization = ''] = namespace.split('-');
    belongsTo(namespace, organization);
    for (const ref of [github(namespace), remote(namespace)]) {
      const server = mcpServer(ref, { uid: `uid-of-${namespace}-${ref.name}` });
      const upstream = { remote: { url: 'https://mcp.linear.example/mcp', allowPrivateAddresses: false } };
      sources.mcpServers.put(ref.name === 'github' ? server : { ...server, spec: { ...server.spec, upstream } });
      await storeKey(ref, organization);
    }
    sources.pods.put(podOf(github(namespace), `github-of-${namespace}`));
  }
  const gateway = { 'mcpkeyring.io/gateway': 'true' };
  sources.gatewayPods.put(podOf({ namespace: 'mcp-keyring', name: '' }, 'gateway-0', { labels: gateway }));
  const injected = { 'mcpkeyring.io/injected-servers': 'acme-1/linear,globex-1/linear' };
  const labels = { 'mcpkeyring.io/agent': 'true', 'mcpkeyring.io/injected': 'true' };
  sources.agentPods.put(podOf(github('acme-1'), 'agent-0', { labels, annotations: injected }));
  const ca = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'idp-ca' }, data: { 'ca.crt': idp.ca } };
  tenancy = new InformerTenancy({
    organizations: sources.organizations.store,
    namespaces: { get: (_, name) => sources.namespaces.store.get(undefined, name) },
    configMaps: { get: (_, name) => (name === 'idp-ca' ? ca : undefined) },
    operatorNamespace: 'mcp-keyring',
    excludedNamespaces: new Set(['mcp-keyring']),
  });
  identity = createIdentity({ client: world.reviews, monotonicMs: () => performance.now(), now: () => new Date() });
  const { cert, key, ca: brokerCa } = await makeTestCertificate(['localhost']);
  broker = createBroker({
    ...world.options,
    ...identity,
    tenancy,
    keyStore: keys.store,
    now: () => new Date(),
    identity: { cert, key },
  });
  client = new TestBrokerClient(await broker.listen(0, '127.0.0.1'), brokerCa);
  return async () => {
    client[Symbol.dispose]();
    await broker.close();
    await identity.close();
  };
});

interface Lease {
  readonly decision: string;
  readonly reason?: string;
  readonly headers?: readonly { readonly value: string }[];
}

/** What the broker decides, or the status and code of its refusal, and never a key of somebody else's by the way. */
async function lease(server: ServerRef, credential: string, pod: string): Promise<string> {
  const { status, text } = await client.call('/v1/leases', { token: pod, body: { server, credential } });
  const other = namespaces.find((namespace) => namespace !== server.namespace) ?? '';
  expect(text).not.toContain(keyIn(other));
  if (status !== 200) return `${status}`;
  const { decision, reason, headers: given } = JSON.parse(text) as Lease;
  return given?.[0]?.value ?? reason ?? decision;
}

describe('between two organizations', () => {
  test('the token of one is worth nothing in the other, also right after it was good in its own', async () => {
    verifies('organizations:separate');
    const [acme, globex] = [await token('acme'), await token('globex')];
    for (let round = 0; round < 2; round += 1) {
      expect(await lease(github('acme-1'), acme, podToken('acme-1'))).toBe(`Bearer ${keyIn('acme-1')}`);
      expect(await lease(github('globex-1'), acme, podToken('globex-1'))).toBe('AudienceMismatch');
      expect(await lease(github('globex-1'), globex, podToken('globex-1'))).toBe(`Bearer ${keyIn('globex-1')}`);
      expect(await lease(github('acme-1'), globex, podToken('acme-1'))).toBe('AudienceMismatch');
    }
    const releases = world.audit.events.flatMap((event) =>
      event.type === 'lease' ? [`${event.organization} ${event.server?.namespace}`] : [],
    );
    expect(releases).toEqual(['acme acme-1', 'globex globex-1', 'acme acme-1', 'globex globex-1']);
  });

  test('no pod of one gets keys, policy or a hearing for a server of the other, even with a good token of its users', async () => {
    verifies('organizations:separate');
    const server = github('globex-1');
    const credential = await token('globex');
    const granted = (await client.lease(server, credential, podToken('globex-1'))) as {
      readonly subjectKey: string;
      readonly keyVersion: number;
      readonly receipt: string;
    };
    const { subjectKey, keyVersion, receipt } = granted;
    const outcomes = [{ subjectKey, keyVersion, receipt, outcome: 'rejected' }];
    const event = {
      id: randomUUID(),
      at: '2026-11-24T10:00:00.000Z',
      type: 'request',
      server,
      httpMethod: 'POST',
      decision: 'forwarded',
      httpStatus: 200,
      durationMs: 1,
      requestBytes: 0,
      responseBytes: 0,
    };
    const recorded = world.audit.events.length;
    for (const pod of [podToken('acme-1'), agentToken]) {
      const asked = [
        await client.call('/v1/leases', { token: pod, body: { server, credential } }),
        await client.call('/v1/outcomes', { token: pod, body: { server, outcomes } }),
        await client.call('/v1/audit', { token: pod, body: { events: [event] } }),
        await client.call('/v1/quota', {
          token: pod,
          body: { server, subjectKey, buckets: [{ bucket: 'a', wanted: 1 }] },
        }),
        await client.call('/v1/watch?namespace=globex-1&name=github', { method: 'GET', token: pod }),
      ];
      expect(asked.map(({ status }) => status)).toEqual([403, 403, 403, 403, 403]);
    }
    expect(world.audit.events.slice(recorded).map(({ type }) => type)).toEqual(
      Array.from({ length: 10 }, () => 'denied'),
    );
    expect(world.sources.userKeys.store.list().some(({ status }) => status?.rejected !== undefined)).toBe(false);
  });

  test('an agent of one gets no key for a remote server of the other, though it was injected with it', async () => {
    verifies('organizations:separate');
    expect(await lease(remote('acme-1'), await token('acme'), agentToken)).toBe(`Bearer ${keyIn('acme-1')}`);
    for (const organization of ['acme', 'globex']) {
      expect(await lease(remote('globex-1'), await token(organization), agentToken)).toBe('403');
    }
  });

  test('the gateway, which serves both, keeps them apart by the server that is called', async () => {
    verifies('organizations:separate');
    expect(await lease(remote('acme-1'), await token('acme'), gatewayToken)).toBe(`Bearer ${keyIn('acme-1')}`);
    expect(await lease(remote('globex-1'), await token('globex'), gatewayToken)).toBe(`Bearer ${keyIn('globex-1')}`);
    expect(await lease(remote('globex-1'), await token('acme'), gatewayToken)).toBe('AudienceMismatch');
    expect(await lease(remote('acme-1'), await token('globex'), gatewayToken)).toBe('AudienceMismatch');
  });

  test('a policy is about its own namespace, whatever it selects', async () => {
    verifies('organizations:separate');
    world.sources.userKeyPolicies.put({
      apiVersion: 'mcpkeyring.io/v1alpha1',
      kind: 'UserKeyPolicy',
      metadata: { name: 'all', namespace: 'acme-1', uid: 'uid-of-all', generation: 1 },
      spec: { servers: { selector: {} }, keys: { required: ['X-Client-ID'] } },
    });
    expect(await lease(github('acme-1'), await token('acme'), podToken('acme-1'))).toBe('missing');
    expect(await lease(github('globex-1'), await token('globex'), podToken('globex-1'))).toBe(
      `Bearer ${keyIn('globex-1')}`,
    );
  });

  test('a sealed key that is copied over from the other does not open', async () => {
    verifies('organizations:separate');
    const sealed = [...keys.cluster.objects.values()].filter(
      ({ metadata }) => metadata.namespace === keyNamespace,
    ) as Secret[];
    const of = (namespace: string): Secret => {
      const found = sealed.find(
        ({ metadata }) =>
          JSON.stringify(metadata).includes(`"${namespace}"`) && JSON.stringify(metadata).includes('github'),
      );
      if (found === undefined) throw new Error(`there is no key in ${namespace}`);
      return found;
    };
    const { data = {} } = of('acme-1');
    keys.cluster.put(secrets, { ...of('globex-1'), data });
    expect(await lease(github('globex-1'), await token('globex'), podToken('globex-1'))).toBe('KeyUnreadable');
  });

  test('a namespace that moves takes no key along: those of its old organization open again only when it comes back', async () => {
    verifies('organizations:moved');
    belongsTo('acme-1', 'globex');
    const pod = podToken('acme-1');
    expect(await lease(github('acme-1'), await token('acme'), pod)).toBe('AudienceMismatch');
    expect(await lease(github('acme-1'), await token('globex'), pod)).toBe('missing');
    belongsTo('acme-1', 'acme', 'globex');
    for (const organization of ['acme', 'globex']) {
      expect(await lease(github('acme-1'), await token(organization), pod)).toBe('NamespaceHasNoOrganization');
    }
    belongsTo('acme-1');
    expect(await lease(github('acme-1'), await token('acme'), pod)).toBe('NamespaceHasNoOrganization');
    belongsTo('acme-1', 'acme');
    expect(await lease(github('acme-1'), await token('acme'), pod)).toBe(`Bearer ${keyIn('acme-1')}`);
  });

  test('an order in a namespace of one is for its users, its servers and its time in the organization', async () => {
    verifies('organizations:separate');
    const tenancyHere = { organizationOf: () => tenancy.organizationOf('acme-1') };
    const intake = await testIntake({ tenancy: tenancyHere, identifier: identity.users });
    const order = async (organization: string, server = 'github') => {
      const credential = await token(organization);
      return await intake.ask({ v: 1, operation: 'status', server, token: credential });
    };
    const refused = { outcome: 'refused', code: 'Unauthenticated' };
    expect(await order('acme')).toMatchObject({ outcome: 'ok', subject: { issuer: idp.url } });
    expect(await order('globex')).toMatchObject(refused);
    expect(await order('acme', 'globex-1/github')).toMatchObject({ outcome: 'refused', code: 'ServerNotFound' });
    belongsTo('acme-1', 'globex');
    expect(await order('acme')).toMatchObject(refused);
    expect(intake.audited).toMatchObject([
      { type: 'denied', reason: 'Unauthenticated', organization: 'acme' },
      { type: 'denied', reason: 'Unauthenticated', organization: 'globex' },
    ]);
  });

  test('limits are counted apart, and not at all where nobody is served', async () => {
    verifies('organizations:own-room');
    for (const namespace of namespaces) {
      world.sources.userKeyPolicies.put({
        apiVersion: 'mcpkeyring.io/v1alpha1',
        kind: 'UserKeyPolicy',
        metadata: { name: 'limited', namespace, uid: `uid-of-${namespace}`, generation: 1 },
        spec: { servers: { selector: {} }, limits: { requests: [{ per: 'Day', max: 5 }] } },
      });
    }
    const quota = async (namespace: string) => {
      const buckets = [{ bucket: 'limited/Day', wanted: 1 }];
      const body = { server: github(namespace), subjectKey: keys.store.subjectKeyOf(alice), buckets };
      return (await client.call('/v1/quota', { token: podToken(namespace), body })).status;
    };
    expect([await quota('acme-1'), await quota('globex-1')]).toEqual([200, 200]);
    const counted = [...world.limits.counts.keys()];
    expect(counted).toHaveLength(2);
    expect(counted.every((key) => /^(?:acme\/acme-1|globex\/globex-1)\/github\//u.test(key))).toBe(true);
    belongsTo('acme-1', 'acme', 'globex');
    expect(await quota('acme-1')).toBe(404);
    expect([...world.limits.counts.keys()]).toEqual(counted);
  });

  test('a flood of refusals in one keeps none of the other off the record', async () => {
    verifies('organizations:own-room');
    const pods = Math.ceil(brokerLimits.denialsRecordedMax / brokerLimits.denialsRecordedPerSourceMax) + 2;
    const foreign = await token('globex');
    for (let index = 0; index < pods; index += 1) {
      world.sources.pods.put(podOf(github('acme-1'), `flood-${index}`));
      const asked = Array.from({ length: brokerLimits.denialsRecordedPerSourceMax }, () =>
        lease(github('acme-1'), foreign, `pod:acme-1/flood-${index}`),
      );
      expect(new Set(await Promise.all(asked))).toEqual(new Set(['AudienceMismatch']));
    }
    const ofAcme = world.audit.events.filter(({ type }) => type === 'denied').length;
    expect(ofAcme).toBe(brokerLimits.denialsRecordedMax);
    await lease(github('globex-1'), await token('acme'), podToken('globex-1'));
    expect(world.audit.events.at(-1)).toMatchObject({ type: 'denied', organization: 'globex' });
  });
});
