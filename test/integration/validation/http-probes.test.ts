import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';

import type { UserKeyPolicyHttp } from '#crds/v1alpha1/generated/user-key-policy.ts';
import { SecretBytes } from '#operator/envelope/secret-bytes.ts';
import { probeByHttp } from '#operator/validation/http-probe.ts';
import { makeTestCertificate, type TestCertificate } from '#test/support/test-certificates.ts';
import { verifies } from '#test/requirements.ts';

import { badKey, goodKey, probeWorld, type ProbeWorld } from './world.ts';

const json = { 'content-type': 'application/json' };

/** Answers by the path, and says what it was sent. */
function upstream(seen: string[] = []): RequestListener {
  return (request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.authorization}`);
    const status = Number(/^\/status\/(\d+)/u.exec(request.url ?? '')?.[1] ?? 0);
    if (status > 0) response.writeHead(status, { location: '/elsewhere' }).end('{}');
    else if (request.url === '/large') response.end('a'.repeat(300_000));
    else if (request.url === '/broken') response.socket?.end('what\r\n\r\n');
    else if (request.headers.authorization === `Bearer ${goodKey}`) response.writeHead(200, json).end(user);
    else response.writeHead(401, json).end(JSON.stringify({ message: `Bad credentials ${badKey}` }));
  };
}

const user = JSON.stringify({ login: 'alice', id: 7, scopes: ['repo', 'user'] });

const http = (world: ProbeWorld, path: string, change: Partial<UserKeyPolicyHttp> = {}) => ({
  http: { url: `${world.origin}${path}`, method: 'GET', ...change } as const,
});

describe('an HTTP probe', () => {
  test(verifies('validation:verdicts'), async () => {
    await using world = await probeWorld({ listener: upstream() });
    expect(await world.try(http(world, '/user'), goodKey)).toEqual({ verdict: 'Accepted', reason: 'Accepted' });
    expect(await world.try(http(world, '/user'), badKey)).toEqual({ verdict: 'Rejected', reason: 'KeyRefused' });
    expect(await world.try(http(world, '/status/403'), goodKey)).toEqual({
      verdict: 'InsufficientScope',
      reason: 'ScopeMissing',
    });
    for (const [path, reason] of Object.entries(withoutVerdict)) {
      expect(await world.try(http(world, path), goodKey), path).toEqual({ reason });
    }
    expect(JSON.stringify(world.told)).not.toMatch(/goodKey|badKey|Bad credentials/u);
  });

  const withoutVerdict = {
    '/status/429': 'RateLimited',
    '/status/500': 'UpstreamError',
    '/status/503': 'UpstreamError',
    '/status/302': 'Redirected',
    '/status/404': 'StatusUnexpected',
    '/large': 'AnswerTooLarge',
    '/broken': 'AnswerUnreadable',
  };

  test('takes the statuses that the policy names, and holds the body against what it expects', async () => {
    await using world = await probeWorld({ listener: upstream() });
    expect(await world.try(http(world, '/status/404', { expectStatus: [404] }), goodKey)).toMatchObject({
      verdict: 'Accepted',
    });
    const expecting = (path: string, equals: string) => http(world, '/user', { expect: { path, equals } });
    expect(await world.try(expecting('$.login', 'alice'), goodKey)).toMatchObject({ verdict: 'Accepted' });
    expect(await world.try(expecting('$.scopes[*]', 'user'), goodKey)).toMatchObject({ verdict: 'Accepted' });
    expect(await world.try(expecting('$.scopes[*]', 'admin'), goodKey)).toMatchObject({ reason: 'ExpectationMissed' });
  });

  test('hears when the upstream says that the key ends, also where it does not accept it for what was asked', async () => {
    const headers = { ...json, 'github-authentication-token-expiration': '2027-01-31 09:00:00 UTC' };
    await using world = await probeWorld({
      listener: (request, response) => {
        const status = Number(request.url?.slice(1));
        response.writeHead(status, headers).end('{}');
      },
    });
    const endsAt = '2027-01-31T09:00:00.000Z';
    expect(await world.try(http(world, '/200'), goodKey)).toMatchObject({ verdict: 'Accepted', endsAt });
    expect(await world.try(http(world, '/403'), goodKey)).toMatchObject({ verdict: 'InsufficientScope', endsAt });
    expect(await world.try(http(world, '/401'), goodKey)).not.toHaveProperty('endsAt');
  });

  test('sends the key in the declared header as it is, with any method', async () => {
    const seen: string[] = [];
    await using world = await probeWorld({ listener: upstream(seen), template: 'token {value};v=1' });
    for (const method of ['GET', 'HEAD', 'POST'] as const)
      await world.try(http(world, '/status/200?a=b', { method }), goodKey);
    expect(seen).toEqual(['GET', 'HEAD', 'POST'].map((method) => `${method} /status/200?a=b token ${goodKey};v=1`));
  });
});

describe('a key goes nowhere but', () => {
  test(verifies('validation:no-other-place'), async () => {
    const stolen: string[] = [];
    await using evil = await probeWorld({ listener: upstream(stolen) });
    await using world = await probeWorld({ listener: upstream() });
    const elsewhere = [
      evil.origin,
      world.origin.replace('localhost', '127.0.0.1'),
      world.origin.replace(/:\d+$/u, ''),
      world.origin.replace('localhost', 'localhost.evil.example'),
    ];
    for (const origin of elsewhere) {
      expect(await world.try({ http: { url: `${origin}/user`, method: 'GET' } }, goodKey), origin).toEqual({
        reason: 'OriginNotAllowed',
      });
    }
    expect(await world.try(http(world, '/status/307'), goodKey)).toEqual({ reason: 'Redirected' });
    expect(stolen).toEqual([]);
  });

  test('to the origins that the server lists, by the rules that it lists with them', async () => {
    const seen: string[] = [];
    await using api = await probeWorld({ listener: upstream(seen) });
    await using world = await probeWorld({ listener: upstream() });
    const listing = (origin: object) => ({
      ...api.mcpServer,
      spec: {
        upstream: { workload: { port: 8080, path: '/mcp' } },
        transport: 'StreamableHTTP' as const,
        authentication: {
          ...world.mcpServer.spec.authentication,
          probeOrigins: [{ origin: api.origin, allowPrivateAddresses: false, ...origin }],
        },
      },
    });
    const caBundleRef = { name: 'ca', key: 'ca.crt' };
    const probe = { http: { url: `${api.origin}/user`, method: 'GET' } } as const;
    expect(await api.try(probe, goodKey, listing({ caBundleRef }))).toEqual({ reason: 'AddressRefused' });
    expect(await api.try(probe, goodKey, listing({ allowPrivateAddresses: true }))).toEqual({ reason: 'TlsFailed' });
    expect(await world.try(probe, goodKey, listing({ allowPrivateAddresses: true, caBundleRef }))).toEqual({
      reason: 'TlsFailed',
    });
    expect(seen).toEqual([]);
    expect(await api.try(probe, goodKey, listing({ allowPrivateAddresses: true, caBundleRef }))).toMatchObject({
      verdict: 'Accepted',
    });
  });

  test.each([['169.254.169.254'], ['203.0.113.1'], ['93.184.216.34', '169.254.169.254'], ['fd00:ec2::254']])(
    'to addresses that keys may go to: not to %s',
    async (...addresses) => {
      await using world = await probeWorld({ listener: upstream(), lookup: () => Promise.resolve(addresses) });
      expect(await world.try(http(world, '/user'), goodKey)).toEqual({ reason: 'AddressRefused' });
    },
  );

  test('to the address that was judged: the name is asked for once', async () => {
    let asked = 0;
    const lookup = () => Promise.resolve([(asked += 1) === 1 ? '127.0.0.1' : '169.254.169.254']);
    await using world = await probeWorld({ listener: upstream(), lookup });
    expect(await world.try(http(world, '/user'), goodKey)).toMatchObject({ verdict: 'Accepted' });
    expect(asked).toBe(1);
  });

  test('over TLS: a server that speaks none gets nothing readable', async () => {
    const received: Buffer[] = [];
    const plain = createServer().on('connection', (socket) => socket.on('data', (data) => received.push(data)));
    plain.on('clientError', (_error, socket) => socket.destroy());
    await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
    const port = (plain.address() as AddressInfo).port;
    await using world = await probeWorld({ listener: upstream() });
    const { remote } = world.mcpServer.spec.upstream;
    const mcpServer = {
      ...world.mcpServer,
      spec: {
        ...world.mcpServer.spec,
        upstream: {
          remote: { allowPrivateAddresses: true, ...remote, url: `https://localhost:${port}/mcp` },
        },
      },
    };
    const probe = { http: { url: `https://localhost:${port}/user`, method: 'GET' } } as const;
    expect(await world.try(probe, goodKey, mcpServer)).toMatchObject({
      reason: expect.stringMatching(/Tls|Unreach/u) as string,
    });
    expect(Buffer.concat(received).includes(goodKey)).toBe(false);
    plain.closeAllConnections();
    plain.close();
  });
});

describe('an upstream that does not answer', () => {
  const silent = {
    'before the handshake': (): Server => createTcpServer((socket) => void socket.resume()),
    'after the request': (): Server => createTlsServer(certificateOf(), () => undefined),
    'in the middle of its answer': (): Server =>
      createTlsServer(certificateOf(), (_request, response) => void response.writeHead(200).write('{"login":')),
  };
  let made: TestCertificate;
  const certificateOf = (): TestCertificate => made;

  test.each(Object.entries(silent))('%s is given up in time, and its connection with it', async (_when, start) => {
    made = await makeTestCertificate(['localhost']);
    const server = start();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    server.on('connection', (socket: Socket) => socket.on('close', () => resolve()).on('error', () => undefined));
    using value = SecretBytes.takeFrom(Buffer.from(goodKey));
    const template = { before: Buffer.from('Bearer '), after: Buffer.alloc(0) };
    const url = `https://localhost:${(server.address() as AddressInfo).port}/user`;
    const place = { kind: 'outside', ca: made.ca, allowPrivateAddresses: true } as const;
    const network = { lookup: () => Promise.resolve(['127.0.0.1']), signal: AbortSignal.timeout(300) };
    const startedAtMs = performance.now();
    const probe = probeByHttp(
      { place, http: { url, method: 'GET' } },
      [{ name: 'Authorization', template, value }],
      network,
    );
    await expect(probe).rejects.toMatchObject({ reason: 'TimedOut' });
    expect(performance.now() - startedAtMs).toBeLessThan(3_000);
    await closed;
    server.close();
  });

  test('to the resolver either', async () => {
    const network = { lookup: () => new Promise<never>(() => undefined), signal: AbortSignal.timeout(200) };
    const place = { kind: 'outside', allowPrivateAddresses: true } as const;
    const probe = probeByHttp({ place, http: { url: 'https://slow.example/', method: 'GET' } }, [], network);
    await expect(probe).rejects.toMatchObject({ reason: 'TimedOut' });
  });
});
