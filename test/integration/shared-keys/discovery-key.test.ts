/** A key for discovery: what it is put into, and what never has it. Compiled sidecar, real broker, real OpenID provider. */
import type { IncomingMessage, ServerResponse } from 'node:http';

import { beforeAll, describe, expect, test } from 'vitest';

import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import { verifies } from '#test/requirements.ts';
import { type BrokerWorld, github, mcpServer, userKeyOf } from '#test/support/broker-world.ts';

import { startRealBroker } from '../conformance/suite/real-broker.ts';
import { buildOnce, SidecarProcess } from '../sidecar/support/sidecar-process.ts';
import { answerOk, type Responder, Upstream } from '../sidecar/support/upstream.ts';
import { call, eventually, post, rpc } from '../sidecar/support/wire.ts';

const secret = { namespace: 'team-a', name: 'github-discovery' };

beforeAll(buildOnce, 300_000);

function discoverable(): McpServer {
  const server = mcpServer();
  const authentication = { ...server.spec.authentication, discoveryKeySecretRef: { name: secret.name } };
  return { ...server, spec: { ...server.spec, authentication } };
}

/** Alice has no key. */
async function withoutKey(world: BrokerWorld) {
  world.sources.mcpServers.put(discoverable());
  world.referencedSecrets.put(secret, { Authorization: 'discovery-key' }, 'github');
  world.keyStore.stored.clear();
  for (const userKey of world.sources.userKeys.store.list()) world.sources.userKeys.remove(userKey);
  return {};
}

async function setUp(respond?: Responder) {
  await using stack = new AsyncDisposableStack();
  const real = stack.use(await startRealBroker(withoutKey));
  const upstream = stack.use(await Upstream.recording(respond));
  const sidecar = stack.use(await SidecarProcess.start({ broker: real.broker, upstreamPort: upstream.port }));
  const token = real.authorization.replace('Bearer ', '');
  const resources = stack.move();
  return {
    real,
    upstream,
    sidecar,
    send: (body: string, headers: Readonly<Record<string, string>> = {}) => post(sidecar.url, body, { token, headers }),
    authorizationOf: (method: string): string | undefined => {
      const got = upstream.received.findLast(({ body }) => body.includes(`"${method}"`));
      return got === undefined ? 'not sent' : got.headers.authorization;
    },
    giveKey(): void {
      real.world.keyStore.set(real.alice, { Authorization: 'key-of-alice' });
      real.world.sources.userKeys.put(userKeyOf(real.alice));
    },
    [Symbol.asyncDispose]: () => resources[Symbol.asyncDispose](),
  };
}

const initialize = rpc('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'c' } });

describe('a key for discovery', () => {
  test(verifies('discovery-keys:lists-only'), { timeout: 60_000 }, async () => {
    await using world = await setUp();
    const { send, authorizationOf, real, upstream } = world;
    const discovering = ['ping', 'tools/list', 'prompts/list', 'resources/list', 'resources/templates/list'];
    for (const method of discovering) {
      expect((await send(rpc(method))).status).toBe(200);
      expect(authorizationOf(method)).toBe('Bearer discovery-key');
    }
    await send(initialize);
    expect(authorizationOf('initialize')).toBe('Bearer discovery-key');
    await send(JSON.stringify({ jsonrpc: '2.0', method: 'notifications/initialized' }));
    expect(authorizationOf('notifications/initialized')).toBe('Bearer discovery-key');

    // Goes on without a key, as where there is none for discovery.
    for (const method of ['tasks/list', 'completion/complete']) {
      await send(rpc(method));
      expect(authorizationOf(method)).toBeUndefined();
    }
    // Waits for the user's own key, whatever is said around the body.
    for (const method of ['prompts/get', 'resources/read', 'logging/setLevel', 'tools/delete', 'anything']) {
      await send(rpc(method, { name: 'x', uri: 'x:y' }), { 'x-mcp-method': 'tools/list' });
      expect(authorizationOf(method)).toBe('not sent');
    }
    expect(await (await send(call('search'))).text()).toContain('needs your own key');
    expect(authorizationOf('tools/call')).toBe('not sent');
    const twice = '{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{"name":"search"}}';
    await send(twice);
    await send(`[${rpc('tools/list')},${call('search')}]`);
    expect(authorizationOf('tools/call')).toBe('not sent');
    // No request, so nothing is answered, and nothing goes with it.
    await send(JSON.stringify({ jsonrpc: '2.0', method: 'tools/call', params: { name: 'search' } }));
    expect(authorizationOf('tools/call')).toBeUndefined();

    const leases = real.world.audit.events.filter(({ type }) => type === 'lease');
    expect(leases.length).toBeGreaterThan(0);
    for (const event of leases) expect(event).toMatchObject({ keySource: 'discovery', subject: { id: 'alice' } });
    await eventually(() => real.requests().some(({ method }) => method === 'tools/call'), 10_000);
    const sources = new Map(real.requests().map(({ method, keySource }) => [method, keySource]));
    expect(sources.get('tools/list')).toBe('discovery');
    expect(sources.get('tools/call')).toBeUndefined();

    world.giveKey();
    await eventually(async () => {
      await send(call('search'));
      return authorizationOf('tools/call') === 'Bearer key-of-alice';
    }, 2_000);
    await send(rpc('tools/list'));
    expect(authorizationOf('tools/list')).toBe('Bearer key-of-alice');
    expect(
      upstream.received.filter(({ body }) => body.includes('tools/call')).map(({ headers }) => headers.authorization),
    ).not.toContain('Bearer discovery-key');
  });

  test(verifies('discovery-keys:own-sessions'), { timeout: 60_000 }, async () => {
    let sessions = 0;
    await using world = await setUp((request: IncomingMessage, response: ServerResponse, body: string) => {
      if (body.includes('"initialize"')) {
        sessions += 1;
        response.setHeader('mcp-session-id', `session-${sessions}`);
      }
      answerOk(request, response, body);
    });
    const begin = async (): Promise<string> => (await world.send(initialize)).headers.get('mcp-session-id') ?? '';
    const session = { 'mcp-session-id': await begin(), 'mcp-protocol-version': '2025-11-25' };
    expect((await world.send(rpc('tools/list'), session)).status).toBe(200);
    expect(await (await world.send(call('search'), session)).text()).toContain('needs your own key');
    world.giveKey();
    // The server may take who began the session for its user: no call of alice goes on in it.
    await eventually(async () => (await world.send(call('search'), session)).status === 404, 2_000);
    expect(world.authorizationOf('tools/call')).toBe('not sent');
    const own = { ...session, 'mcp-session-id': await begin() };
    expect(world.authorizationOf('initialize')).toBe('Bearer key-of-alice');
    expect(await (await world.send(call('search'), own)).text()).toContain('"result":{}');
  });

  test(
    'that comes back is masked, and one that the upstream refuses is done without',
    { timeout: 60_000 },
    async () => {
      await using world = await setUp((request, response, body) => {
        if (body.includes('prompts/list') && request.headers.authorization !== undefined) {
          response.writeHead(401).end();
          return;
        }
        const { id } = JSON.parse(body) as { id: number };
        response.writeHead(200, { 'content-type': 'application/json' });
        const seen = request.headers.authorization ?? 'nothing';
        response.end(JSON.stringify({ jsonrpc: '2.0', id, result: { tools: [{ name: 'a', description: seen }] } }));
      });
      const shown = await (await world.send(rpc('tools/list'))).text();
      expect(shown).not.toContain('discovery-key');
      expect(shown).toContain('Bearer');
      expect(await (await world.send(rpc('prompts/list'))).text()).toContain('nothing');
      expect(world.real.world.audit.events.filter(({ type }) => type === 'key.rejected')).toEqual([]);
      expect(world.real.world.sources.mcpServers.store.get(github.namespace, github.name)?.status).toBeUndefined();
    },
  );
});
