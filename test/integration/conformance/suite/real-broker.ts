/** A compiled sidecar with everything behind it real: the broker, and an OpenID provider that says who alice is. */
import type { ServerRef, Subject } from '#contract/lease.ts';
import type { RequestEvent } from '#contract/audit.ts';
import { createIdentity } from '#operator/identity/create-identity.ts';
import { type BrokerOptions, createBroker } from '#operator/broker/broker.ts';
import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import {
  brokerWorld,
  github,
  mcpServer,
  podOf,
  policyOf,
  userKeyOf,
  type BrokerWorld,
} from '#test/support/broker-world.ts';
import { startOidcIssuer, testResource } from '#test/support/oidc-issuer.ts';
import { makeTestCertificate } from '#test/support/test-certificates.ts';
import type { SidecarOptions } from '../../sidecar/support/sidecar-process.ts';

/** What the server behind has to be shown, and what alice's key makes of her requests. */
export const upstreamAuthorization = 'Bearer key-of-alice';

/** A server that speaks the transport of 2024-11-05. */
const old: ServerRef = { namespace: github.namespace, name: 'old' };

function withOldTransport(): McpServer {
  const server = mcpServer(old);
  return { ...server, spec: { ...server.spec, transport: 'SSE' } };
}

/** The server that the gateway reaches outside the cluster. */
export const outside: ServerRef = { namespace: github.namespace, name: 'outside' };

function atPort(port: number): McpServer {
  const server = mcpServer(outside);
  const url = `https://localhost:${port}/mcp`;
  const remote = { url, caBundleRef: { name: 'outside-ca', key: 'ca.crt' }, allowPrivateAddresses: true };
  return { ...server, spec: { ...server.spec, upstream: { remote } } };
}

/** A pod may hold few streams of the broker open. */
const podCount = 8;

export interface RealBroker extends AsyncDisposable {
  readonly broker: SidecarOptions['broker'];
  /** As the pod of this number, of eight, of a server with this transport. */
  readonly brokerOf: (pod: number, transport?: 'http' | 'sse') => SidecarOptions['broker'];
  /** As the gateway, which reaches one server more: it is outside, at this port of localhost, and has this CA. */
  readonly gatewayTo: (outside: { readonly port: number; readonly ca: string }) => SidecarOptions['broker'];
  /** Path of that server at the gateway. */
  readonly outsidePath: string;
  /** From now on a policy says which tools may be used; without names, none does. */
  readonly allowTools: (...names: readonly string[]) => void;
  /** What alice shows to the sidecar: a token of the provider, good for an hour. */
  readonly authorization: string;
  /** What the sidecars have reported of their requests. */
  readonly requests: () => readonly RequestEvent[];
  /** What the broker sees of the cluster. */
  readonly world: BrokerWorld;
  readonly alice: Subject;
}

/** `change` puts what is about the test in the place of what is in memory. */
export async function startRealBroker(
  change: (world: BrokerWorld) => Promise<Partial<BrokerOptions>> = async () => ({}),
): Promise<RealBroker> {
  const issuer = await startOidcIssuer({ tokenSeconds: 3_600 });
  const world = brokerWorld();
  const alice = { issuer: issuer.url, id: 'alice', name: 'alice@example.com' };
  world.sources.mcpServers.put(withOldTransport());
  for (const server of [github, old, outside]) {
    world.keyStore.set(alice, { Authorization: 'key-of-alice' }, { server });
    world.sources.userKeys.put(userKeyOf(alice, server));
    for (let pod = 0; pod < podCount; pod += 1) world.sources.pods.put(podOf(server, `${server.name}-${pod}`));
  }
  const claims = { subject: 'sub', groups: 'groups', name: 'email' };
  const trusted = { type: 'OIDC', name: 'idp', issuerURL: issuer.url, audiences: [testResource], claims } as const;
  const issuers = [{ ...trusted, caBundle: issuer.ca }];
  world.tenancies.set(github.namespace, { kind: 'organization', name: 'default', issuers });
  const time = { monotonicMs: () => performance.now(), now: () => new Date() };
  const identity = createIdentity({ client: world.reviews, ...time });
  const { cert, key, ca } = await makeTestCertificate(['localhost']);
  const broker = createBroker({
    ...world.options,
    ...identity,
    ...time,
    ...(await change(world)),
    identity: { cert, key },
  });
  const port = await broker.listen(0, '127.0.0.1');
  const brokerOf = (pod: number, transport = 'http'): SidecarOptions['broker'] => {
    const server = transport === 'sse' ? old : github;
    const token = `pod:${server.namespace}/${server.name}-${pod}`;
    return { url: `https://localhost:${port}`, ca, pod: { server, token } };
  };
  const gatewayLabels = { 'mcpkeyring.io/gateway': 'true' };
  const gatewayPod = podOf({ namespace: 'mcp-keyring', name: 'gateway' }, 'gateway-0', { labels: gatewayLabels });
  world.sources.gatewayPods.put(gatewayPod);
  return {
    broker: brokerOf(0),
    brokerOf,
    outsidePath: `/${outside.namespace}/${outside.name}/mcp`,
    allowTools(...allow) {
      const policy = policyOf('tools', { tools: { allow } });
      if (allow.length > 0) world.sources.userKeyPolicies.put(policy);
      else world.sources.userKeyPolicies.remove(policy);
    },
    gatewayTo(place) {
      const metadata = { namespace: outside.namespace, name: 'outside-ca' };
      world.sources.caBundles.put({ apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'ca.crt': place.ca } });
      world.sources.mcpServers.put(atPort(place.port));
      return { ...brokerOf(0), pod: { server: outside, token: 'pod:mcp-keyring/gateway-0' } };
    },
    authorization: `Bearer ${await issuer.token('alice')}`,
    world,
    alice,
    requests: () => world.audit.events.filter((event) => event.type === 'request'),
    async [Symbol.asyncDispose]() {
      await broker.close();
      await identity.close();
      await issuer[Symbol.asyncDispose]();
    },
  };
}
