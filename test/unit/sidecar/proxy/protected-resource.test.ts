import { describe, expect, test } from 'vitest';
import { verifies } from '#test/requirements.ts';
import { bodyOf, granted, json, jsonOf, missing, policy, rpc, world } from './world.ts';

const issuers = ['https://login.example.com/realms/main'];
const withIssuers = { policy: () => ({ ...policy, issuers }) };
const gateway = { endpoint: { path: '/mcp', prefix: '/team-a/notes' }, externalUrl: 'https://mcp.example.com' };
const metadata = '/.well-known/oauth-protected-resource';

const unknown = { decision: 'unauthenticated', reason: 'TokenExpired', message: 'It has expired.' } as const;

describe('a 401', () => {
  test(verifies('mcp:07-own-challenge'), async () => {
    const { send } = world({ ...withIssuers, ...gateway, lease: unknown });
    const challenge = (await send()).headers.get('www-authenticate');
    expect(challenge).toBe(
      'Bearer realm="mcp-keyring", error="invalid_token", error_description="TokenExpired", ' +
        'resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/team-a/notes/mcp"',
    );
    const nobody = await send({ headers: { authorization: '' } });
    expect(nobody.headers.get('www-authenticate')).not.toContain('error');
    expect(nobody.headers.get('www-authenticate')).toContain('resource_metadata="https://mcp.example.com/');
  });

  test(`${verifies('mcp:07-own-challenge')}: on every request, and on nothing else`, async () => {
    const { send, forwarded, parts } = world({ ...withIssuers, lease: unknown });
    expect(parts.endpoint.path).toBe('/mcp');
    const session = { 'mcp-session-id': 's-1', 'last-event-id': '1' };
    for (const request of [
      {},
      { body: rpc('initialize') },
      { body: JSON.stringify({ jsonrpc: '2.0', method: 'notifications/initialized' }) },
      { body: JSON.stringify({ jsonrpc: '2.0', id: 1, result: {} }) },
      { body: 'no JSON' },
      { method: 'GET', headers: session },
      { method: 'DELETE', headers: session },
    ]) {
      const response = await send(request);
      expect(response.status).toBe(401);
      expect(response.headers.get('www-authenticate')).toMatch(/^Bearer realm="mcp-keyring"/);
    }
    expect(forwarded).toEqual([]);
    const challenge = { 'www-authenticate': 'Bearer realm="upstream"' };
    for (const lease of [granted, missing, { ...granted, headers: [], keyVersion: 0 }]) {
      for (const request of [{}, { method: 'GET' }, { body: rpc('tools/list') }]) {
        const response = await world({ lease, respond: () => json(401, {}, challenge) }).send(request);
        expect(response.status).not.toBe(401);
        expect(response.headers.get('www-authenticate')).toBeNull();
      }
    }
  });

  test('names the host that the client used where no other is known', async () => {
    const { send } = world({ ...withIssuers, lease: unknown });
    const response = await send({ headers: { host: 'notes-mcp.team-a.svc:8080' } });
    expect(response.headers.get('www-authenticate')).toContain(
      'resource_metadata="http://notes-mcp.team-a.svc:8080/.well-known/oauth-protected-resource/mcp"',
    );
    const secure = await send({ headers: { host: 'notes.example', 'x-forwarded-proto': 'https' } });
    expect(secure.headers.get('www-authenticate')).toContain('"https://notes.example/');
  });

  test.each(['', 'evil" , x="y', 'a b', 'user@host', 'host/path', 'host:99x', 'é.example'])(
    'does not repeat the host %j',
    async (host) => {
      const { send } = world({ ...withIssuers, lease: unknown });
      const response = await send({ headers: { host: host.normalize('NFC').replace('é', '\u00e9') } });
      expect(response.headers.get('www-authenticate')).not.toContain('resource_metadata');
    },
  );

  test('names no document where there is no identity provider to log in at', async () => {
    const { send } = world({ ...gateway, lease: unknown });
    expect((await send()).headers.get('www-authenticate')).not.toContain('resource_metadata');
    expect((await send({ method: 'GET', path: `${metadata}/mcp` })).status).toBe(404);
  });
});

describe('the document of RFC 9728', () => {
  test('says to anybody where to log in, and is put on record', async () => {
    const { send, events, forwarded } = world({ ...withIssuers, ...gateway });
    const response = await send({ method: 'GET', path: `${metadata}/mcp`, headers: { authorization: '' } });
    expect(response.status).toBe(200);
    expect(await jsonOf(response)).toEqual({
      resource: 'https://mcp.example.com/team-a/notes/mcp',
      authorization_servers: issuers,
      scopes_supported: ['openid'],
      bearer_methods_supported: ['header'],
      resource_name: 'Notes',
    });
    expect(response.headers.get('access-control-allow-origin')).toBe('*');
    expect(events).toMatchObject([{ decision: 'metadata', httpStatus: 200 }]);
    expect(forwarded).toEqual([]);
  });

  test('names the scopes that the organization wants clients to ask for', async () => {
    const scopes = ['openid', 'email', 'offline_access'];
    const { send } = world({ ...gateway, policy: () => ({ ...policy, issuers, scopes }) });
    const response = await send({ method: 'GET', path: `${metadata}/mcp` });
    expect(await jsonOf(response)).toMatchObject({ scopes_supported: scopes });
  });

  test('is at the root too where there is one server only', async () => {
    const own = world(withIssuers);
    const response = await own.send({ method: 'GET', path: metadata, headers: { host: 'notes.example' } });
    expect(JSON.parse(await bodyOf(response))).toMatchObject({ resource: 'http://notes.example/mcp' });
    const many = world({ ...withIssuers, ...gateway });
    expect((await many.send({ method: 'GET', path: metadata })).status).toBe(404);
  });

  test.each(['POST', 'PUT', 'DELETE', 'OPTIONS'])('is not there for %s', async (method) => {
    const { send } = world({ ...withIssuers, ...gateway });
    expect((await send({ method, path: `${metadata}/mcp` })).status).toBe(404);
  });
});
