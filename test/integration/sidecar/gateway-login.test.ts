/** The official client finds the identity provider by itself, logs its user in, and calls a tool: nothing on the way is a double. */
import {
  Client,
  type OAuthClientProvider,
  type OAuthDiscoveryState,
  StreamableHTTPClientTransport,
  UnauthorizedError,
} from '@modelcontextprotocol/client';
import { Agent, fetch as fetchWith } from 'undici';
import { beforeAll, describe, expect, test } from 'vitest';
import { createBroker } from '#operator/broker/broker.ts';
import { createIdentity } from '#operator/identity/create-identity.ts';
import { visit } from '#test/demo/login.ts';
import { verifies } from '#test/requirements.ts';
import { brokerWorld, mcpServer, userKeyOf } from '#test/support/broker-world.ts';
import { type LoginIssuer, startLoginIssuer } from '#test/support/login-issuer.ts';
import { makeTestCertificate } from '#test/support/test-certificates.ts';
import { buildOnce, SidecarProcess } from './support/sidecar-process.ts';
import { keyMark, Upstream } from './support/upstream.ts';
import { eventually } from './support/wire.ts';

beforeAll(buildOnce);

const wiki = { namespace: 'team-a', name: 'wiki' };
const key = 'key-of-alice';
const redirectUri = 'http://127.0.0.1:8976/callback';

/** An identity provider, a broker that trusts it, a gateway, and a remote server for which alice has set a key. */
async function setUp() {
  await using stack = new AsyncDisposableStack();
  const issuer = stack.use(await startLoginIssuer());
  const certificate = await makeTestCertificate(['localhost']);
  const upstream = stack.use(await Upstream.sdk(certificate));
  const world = brokerWorld();
  const alice = { issuer: issuer.url, id: 'alice', name: 'alice@example.com' };
  const server = mcpServer(wiki);
  const remote = {
    url: `https://localhost:${upstream.port}/mcp`,
    caBundleRef: { name: 'wiki-ca', key: 'ca.crt' },
    allowPrivateAddresses: true,
  };
  const headers = [{ name: 'X-Api-Key', template: '{value}', required: true, reveal: 'None' as const }];
  world.sources.mcpServers.put({
    ...server,
    spec: { ...server.spec, upstream: { remote }, authentication: { mode: 'PerUser', headers } },
  });
  world.sources.caBundles.put({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'wiki-ca', namespace: wiki.namespace },
    data: { 'ca.crt': certificate.ca },
  });
  world.keyStore.set(alice, { 'X-Api-Key': key }, { server: wiki });
  world.sources.userKeys.put(userKeyOf(alice, wiki));
  world.sources.gatewayPods.put({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'gateway-0',
      namespace: 'mcp-keyring',
      uid: 'uid-of-gateway-0',
      labels: { 'mcpkeyring.io/gateway': 'true' },
    },
  });
  const claims = { subject: 'sub', groups: 'groups', name: 'email' };
  const trusted = { type: 'OIDC', name: 'login', issuerURL: issuer.url, audiences: ['another'], claims } as const;
  world.tenancies.set(wiki.namespace, {
    kind: 'organization',
    name: 'default',
    issuers: [{ ...trusted, caBundle: issuer.ca }],
  });
  const time = { monotonicMs: () => performance.now(), now: () => new Date() };
  const identity = createIdentity({ client: world.reviews, ...time });
  stack.defer(() => identity.close());
  const serving = await makeTestCertificate(['localhost']);
  let gatewayUrl = '';
  const broker = createBroker({
    ...world.options,
    ...identity,
    ...time,
    resourceOf: ({ namespace, name }) => `${gatewayUrl}/${namespace}/${name}/mcp`,
    identity: { cert: serving.cert, key: serving.key },
  });
  stack.defer(() => broker.close());
  const port = await broker.listen(0, '127.0.0.1');
  const gateway = stack.use(
    await SidecarProcess.start({
      broker: {
        url: `https://localhost:${port}`,
        ca: serving.ca,
        pod: { server: wiki, token: 'pod:mcp-keyring/gateway-0' },
      },
      upstreamPort: 0,
      serving: ['--mode=gateway'],
    }),
  );
  gatewayUrl = `http://127.0.0.1:${gateway.port}`;
  const resources = stack.move();
  return {
    issuer,
    world,
    url: `${gatewayUrl}/team-a/wiki/mcp`,
    [Symbol.asyncDispose]: () => resources[Symbol.asyncDispose](),
  };
}

/** What an IDE does: keeps what it is given, and opens the browser. */
class Ide implements OAuthClientProvider {
  readonly redirectUrl = redirectUri;
  readonly clientMetadata = { redirect_uris: [redirectUri], client_name: 'ide', token_endpoint_auth_method: 'none' };
  opened: URL | undefined;
  #client: ReturnType<OAuthClientProvider['clientInformation']>;
  #tokens: ReturnType<OAuthClientProvider['tokens']>;
  #verifier = '';
  #discovery: OAuthDiscoveryState | undefined;

  clientInformation(): ReturnType<OAuthClientProvider['clientInformation']> {
    return this.#client;
  }

  saveClientInformation(client: Exclude<typeof this.clientMetadata, undefined> & { client_id: string }): void {
    this.#client = client;
  }

  tokens(): ReturnType<OAuthClientProvider['tokens']> {
    return this.#tokens;
  }

  saveTokens(tokens: Parameters<OAuthClientProvider['saveTokens']>[0]): void {
    this.#tokens = tokens;
  }

  redirectToAuthorization(url: URL): void {
    this.opened = url;
  }

  saveCodeVerifier(verifier: string): void {
    this.#verifier = verifier;
  }

  codeVerifier(): string {
    return this.#verifier;
  }

  saveDiscoveryState(state: OAuthDiscoveryState): void {
    this.#discovery = state;
  }

  discoveryState(): OAuthDiscoveryState | undefined {
    return this.#discovery;
  }
}

/** Trusts the identity provider's own CA, as an operating system would. */
function fetchTrusting({ ca }: LoginIssuer): typeof fetch {
  const dispatcher = new Agent({ connect: { ca } });
  return (async (url: string | URL, init?: object) => fetchWith(url, { ...init, dispatcher })) as typeof fetch;
}

describe('a client that knows nothing but the URL', () => {
  test(verifies('gateway:oauth-flow'), async () => {
    await using world = await setUp();
    const authProvider = new Ide();
    const options = { authProvider, fetch: fetchTrusting(world.issuer) };
    const first = new StreamableHTTPClientTransport(new URL(world.url), options);
    const client = new Client({ name: 'ide', version: '1.0.0' });
    await expect(client.connect(first)).rejects.toThrow(UnauthorizedError);

    expect(authProvider.opened?.origin).toBe(world.issuer.url);
    expect(authProvider.opened?.searchParams.get('resource')).toBe(world.url);
    const callback = await visit(authProvider.opened!, { ca: world.issuer.ca, account: 'alice', redirectUri });
    await first.finishAuth(callback.searchParams);

    const second = new Client({ name: 'ide', version: '1.0.0' });
    await second.connect(new StreamableHTTPClientTransport(new URL(world.url), options));
    const result = await second.callTool({ name: 'whoami' });
    expect(result).toMatchObject({ content: [{ text: `key=${keyMark(key)} authorization=none` }] });
    await second.close();

    // The token is for this server and no other: its audience is the URL that the client was given.
    expect(new Set(world.issuer.resources)).toEqual(new Set([world.url]));
    const called = (): boolean =>
      world.world.audit.events.some((event) => event.type === 'request' && event.tool === 'whoami');
    await eventually(called);
    expect(world.world.audit.events).toContainEqual(
      expect.objectContaining({ type: 'lease', server: wiki, pod: expect.objectContaining({ name: 'gateway-0' }) }),
    );
  });
});
