import { beforeAll, expect, test } from 'vitest';
import { verifies } from '#test/requirements.ts';
import { BrokerDouble, granted, policy } from './support/broker-double.ts';
import { buildOnce, SidecarProcess } from './support/sidecar-process.ts';
import { Upstream } from './support/upstream.ts';
import { call, eventually, post, rpc, sendInTurn, sendRaw, status } from './support/wire.ts';
import { setUpSidecar } from './support/set-up.ts';

beforeAll(buildOnce);

const setUp = (flags: readonly string[] = []) => setUpSidecar({ flags });

const body = call('x');

/** A request whose head is given line by line. */
function raw(lines: readonly string[], content = body): string {
  return [...lines, '', content].join('\r\n');
}

const wellFormed = [
  'POST /mcp HTTP/1.1',
  'Host: x',
  'Authorization: Bearer alice',
  'Content-Type: application/json',
  `Content-Length: ${body.length}`,
];

// In whatever case, number or spelling.
test(verifies('mcp:06-strip'), async () => {
  await using world = await setUp();
  const forged = [
    'X-Api-Key: forged-1',
    'x-api-key: forged-2',
    'X-API-KEY: forged-3',
    'X_Api_Key: forged-4',
    'x_api-key: forged-5',
  ];
  const own = [
    'Cookie: session=forged-6',
    'Proxy-Authorization: Basic forged-7',
    'Proxy_Authorization: forged-8',
    'X-Forwarded-User: forged-9',
    'x_remote_user: forged-10',
    'X-Auth-Request-Email: forged-11',
    'X-Forwarded-Access-Token: forged-12',
  ];
  const answer = await sendRaw(world.sidecar.port, raw([...wellFormed, ...forged, ...own]));
  expect(status(answer)).toBe(200);
  const [seen] = world.upstream.received;
  expect(seen!.rawHeaders.join('\n')).not.toContain('forged');
  expect(seen!.rawHeaders.join('\n')).not.toContain('Bearer alice');
  const names = seen!.rawHeaders.filter((_value, index) => index % 2 === 0).map((name) => name.toLowerCase());
  expect(names.filter((name) => name === 'x-api-key')).toHaveLength(1);
  expect(seen!.headers['x-api-key']).toBe('key-of-alice');
});

test('a client cannot say in the words of a front proxy who it is', async () => {
  await using world = await setUp();
  const forged = ['X-Forwarded-User: root', 'x_remote_user: root', 'Impersonate-User: root', 'X-Amzn-Oidc-Data: root'];
  const answer = await sendRaw(world.sidecar.port, raw([...wellFormed, ...forged, 'X-Forwarded-For: 192.0.2.1']));
  expect(status(answer)).toBe(200);
  expect(world.upstream.received[0]!.rawHeaders).not.toContain('root');
  expect(world.upstream.received[0]!.headers['x-forwarded-for']).toBe('192.0.2.1');
});

test('a client cannot make the proxy drop the key by naming it in Connection', async () => {
  await using world = await setUp();
  const answer = await sendRaw(
    world.sidecar.port,
    raw([...wellFormed, 'Connection: keep-alive, x-api-key, X-Hop', 'X-Hop: 1']),
  );
  expect(status(answer)).toBe(200);
  expect(world.upstream.received[0]!.headers['x-api-key']).toBe('key-of-alice');
  expect(world.upstream.received[0]!.headers['x-hop']).toBeUndefined();
});

test('strips a header as soon as the policy declares it', async () => {
  await using world = await setUp();
  const headers = [...policy.headers, { name: 'X-Second', required: false }];
  const send = async () => post(world.sidecar.url, body, { token: 'alice', headers: { 'x-second': 'forged' } });
  await send();
  expect(world.upstream.received[0]!.headers['x-second']).toBe('forged');
  world.broker.publish({ ...policy, headers });
  await eventually(async () => {
    await send();
    return world.upstream.received.at(-1)!.headers['x-second'] === undefined;
  }, 1_000);
});

test('two credentials are none', async () => {
  await using world = await setUp();
  const answer = await sendRaw(world.sidecar.port, raw([...wellFormed, 'Authorization: Bearer mallory']));
  expect(status(answer)).toBe(401);
  expect(answer.text).toMatch(/www-authenticate: Bearer realm="mcp-keyring", error="invalid_token"/i);
  expect(world.upstream.received).toHaveLength(0);
  expect(world.broker.leaseRequests).toHaveLength(0);
});

test('a 401 has a challenge of ours, and a stranger never reaches the upstream', async () => {
  await using world = await setUp();
  const none = await post(world.sidecar.url, body);
  expect(none.status).toBe(401);
  expect(none.headers.get('www-authenticate')).toBe('Bearer realm="mcp-keyring"');
  const unknown = await post(world.sidecar.url, body, { token: 'mallory' });
  expect(unknown.status).toBe(401);
  expect(unknown.headers.get('www-authenticate')).toContain('error_description="SignatureInvalid"');
  expect(world.upstream.received).toHaveLength(0);
});

const smuggled = 'POST /mcp HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer mallory\r\nContent-Length: 0\r\n\r\n';
const chunkedBody = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
const head = wellFormed.slice(0, 4);

const probes: Record<string, string> = {
  'Content-Length and Transfer-Encoding': raw([...wellFormed, 'Transfer-Encoding: chunked'], chunkedBody + smuggled),
  'Transfer-Encoding before Content-Length': raw(
    [...head, 'Transfer-Encoding: chunked', 'Content-Length: 4'],
    chunkedBody + smuggled,
  ),
  'two Content-Lengths': raw([...wellFormed, 'Content-Length: 3'], body + smuggled),
  'a list of Content-Lengths': raw([...head, `Content-Length: ${body.length}, ${body.length}`], body + smuggled),
  'a signed Content-Length': raw([...head, `Content-Length: +${body.length}`], body + smuggled),
  'a Content-Length in hexadecimal': raw([...head, 'Content-Length: 0x10'], body + smuggled),
  'an unknown transfer coding': raw([...head, 'Transfer-Encoding: xchunked'], chunkedBody + smuggled),
  'a transfer coding after chunked': raw([...head, 'Transfer-Encoding: chunked, identity'], chunkedBody + smuggled),
  'obsolete line folding': raw([...wellFormed, 'X-Fold: a', ' Transfer-Encoding: chunked'], body + smuggled),
  'a space before the colon': raw([...wellFormed, 'Transfer-Encoding : chunked'], chunkedBody + smuggled),
  'a bare line feed': raw([...wellFormed, 'X-A: b\nTransfer-Encoding: chunked'], chunkedBody + smuggled),
  'a bare carriage return': raw([...wellFormed, 'X-A: b\rTransfer-Encoding: chunked'], chunkedBody + smuggled),
  'a NUL in a value': raw([...wellFormed, 'X-A: b\0c'], body + smuggled),
  'no Host': raw(
    wellFormed.filter((line) => !line.startsWith('Host')),
    body + smuggled,
  ),
  'two Hosts': raw([...wellFormed, 'Host: y'], body + smuggled),
  'a bad chunk size': raw([...head, 'Transfer-Encoding: chunked'], `zz\r\n${body}\r\n0\r\n\r\n${smuggled}`),
  'a head of 20 KB': raw([...wellFormed, `X-Long: ${'x'.repeat(20_000)}`], body + smuggled),
};

test('refuses what two HTTP parsers could read in two ways', async () => {
  await using world = await setUp();
  for (const [name, request] of Object.entries(probes)) {
    const answer = await sendRaw(world.sidecar.port, request, 250);
    // Nothing smuggled is ever answered: at most one response, and no request of mallory at the broker.
    expect(answer.text.match(/HTTP\/1\.1 \d{3}/g)?.length ?? 0, name).toBeLessThanOrEqual(1);
    expect(status(answer) === 0 || status(answer) >= 400, `${name}: ${answer.text.slice(0, 60)}`).toBe(true);
  }
  expect(world.upstream.received).toHaveLength(0);
  expect(world.broker.leaseRequests.filter((request) => request.credential === 'mallory')).toHaveLength(0);
});

test('each request on a connection is a request of its own user', async () => {
  await using world = await setUp();
  world.broker.setLease('bob', granted('bob', 'key-of-bob'));
  const asBob = raw(wellFormed.map((line) => line.replace('alice', 'bob')));
  await sendInTurn(world.sidecar.port, [raw(wellFormed), asBob, raw(wellFormed)]);
  expect(world.upstream.received.map((seen) => seen.headers['x-api-key'])).toEqual([
    'key-of-alice',
    'key-of-bob',
    'key-of-alice',
  ]);
});

test('requests that do not wait for the answer before them are answered one after the other', async () => {
  await using world = await setUp();
  const answer = await sendRaw(world.sidecar.port, raw(wellFormed) + raw(wellFormed), 250);
  expect([...answer.text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => status)).toEqual(['200', '200']);
  expect(world.upstream.received.map((seen) => seen.body)).toEqual([body, body]);
});

test('refuses a body that is too large, whether its length is told or not', async () => {
  await using world = await setUp(['--body-bytes-max=2048']);
  const large = call('x', { text: 'y'.repeat(3_000) });
  const told = await post(world.sidecar.url, large, { token: 'alice' });
  expect(told.status).toBe(413);
  expect(await told.json()).toMatchObject({ jsonrpc: '2.0', error: { code: 1413 } });
  const chunks = `${(3_000).toString(16)}\r\n${'y'.repeat(3_000)}\r\n0\r\n\r\n`;
  const untold = await sendRaw(world.sidecar.port, raw([...head, 'Transfer-Encoding: chunked'], chunks));
  expect(status(untold)).toBe(413);
  const promised = await sendRaw(world.sidecar.port, raw([...head, 'Content-Length: 99999999999'], 'y'));
  expect(status(promised)).toBe(413);
  expect(world.upstream.received).toHaveLength(0);
  await eventually(() => world.broker.events.size === 3);
  expect([...world.broker.events.values()].map((event) => event.decision)).toEqual([
    'tooLarge',
    'tooLarge',
    'tooLarge',
  ]);
  expect((await post(world.sidecar.url, body, { token: 'alice' })).status).toBe(200);
});

test('forwards a chunked body whole', async () => {
  await using world = await setUp();
  const answer = await sendRaw(world.sidecar.port, raw([...head, 'Transfer-Encoding: chunked'], chunkedBody));
  expect(status(answer)).toBe(200);
  expect(world.upstream.received[0]!.body).toBe(body);
  expect(world.upstream.received[0]!.headers['transfer-encoding']).toBeUndefined();
});

const messages: Record<string, [string | Uint8Array, number, number]> = {
  'a batch': [`[${body}]`, 400, -32_600],
  'an empty batch': ['[]', 400, -32_600],
  'no body': ['', 400, -32_700],
  'not JSON': ['{', 400, -32_700],
  'a byte order mark': [`\u{feff}${body}`, 400, -32_700],
  'invalid UTF-8': [Buffer.from([0x22, 0xff, 0x22]), 400, -32_700],
  'a key twice': [
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"safe","name":"other"}}',
    400,
    -32_600,
  ],
  'a key twice, once escaped': ['{"jsonrpc":"2.0","id":1,"method":"ping","m\\u0065thod":"tools/call"}', 400, -32_600],
  'no jsonrpc': ['{"id":1,"method":"ping"}', 400, -32_600],
  'an id of null': ['{"jsonrpc":"2.0","id":null,"method":"ping"}', 400, -32_600],
};

test('refuses messages that two JSON parsers could read in two ways', async () => {
  await using world = await setUp();
  for (const [name, [content, httpStatus, code]] of Object.entries(messages)) {
    const response = await post(world.sidecar.url, content, { token: 'alice' });
    expect(response.status, name).toBe(httpStatus);
    expect(await response.json(), name).toMatchObject({ jsonrpc: '2.0', error: { code } });
  }
  expect(world.upstream.received).toHaveLength(0);
});

test('refuses a modern request whose headers name another tool than its body', async () => {
  await using world = await setUp();
  const meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' };
  const modern = rpc('tools/call', { name: 'delete', arguments: {}, _meta: meta }, 'id-7');
  const headers = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'read' };
  const response = await post(world.sidecar.url, modern, { token: 'alice', headers });
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ id: 'id-7', error: { code: -32_020 } });
  const right = await post(world.sidecar.url, modern, {
    token: 'alice',
    headers: { ...headers, 'mcp-name': 'delete' },
  });
  expect(right.status).toBe(200);
});

test('serves one path and three methods', async () => {
  await using world = await setUp();
  const request = (path: string, method: string) =>
    sendRaw(world.sidecar.port, raw([`${method} ${path} HTTP/1.1`, 'Host: x', 'Authorization: Bearer alice'], ''), 150);
  for (const path of ['/', '/mcp/', '/admin', '/mcp/../admin', '//mcp', '/%6dcp', 'http://other.example/admin']) {
    expect(status(await request(path, 'GET')), path).toBe(404);
  }
  for (const method of ['PUT', 'PATCH', 'OPTIONS', 'TRACE', 'CONNECT']) {
    expect(status(await request('/mcp', method)), method).toBeGreaterThanOrEqual(400);
  }
  expect(world.upstream.received).toHaveLength(0);
});

test('asks for a body that a client holds back until it is asked', async () => {
  await using world = await setUp();
  const lines = [...wellFormed, 'Expect: 100-continue', '', ''];
  const answers = await sendInTurn(world.sidecar.port, [lines.join('\r\n'), body]);
  expect(answers[0]).toMatch(/^HTTP\/1\.1 100 Continue\r\n/);
  expect(answers[1]).toMatch(/^HTTP\/1\.1 200 /);
  expect(world.upstream.received[0]!.headers.expect).toBeUndefined();
});

test(verifies('mcp:26-host-origin'), async () => {
  await using world = await setUp(['--allow-origin=https://app.example', '--allow-host=notes.example']);
  const request = (host: string, origin?: string) =>
    sendRaw(
      world.sidecar.port,
      raw([
        ...wellFormed.filter((line) => !line.startsWith('Host')),
        `Host: ${host}`,
        ...(origin === undefined ? [] : [`Origin: ${origin}`]),
      ]),
      150,
    );
  expect(status(await request('notes.example:8080'))).toBe(200);
  expect(status(await request('NOTES.example', 'https://app.example'))).toBe(200);
  expect(status(await request('notes.example', 'https://evil.example'))).toBe(403);
  expect(status(await request('notes.example', 'null'))).toBe(403);
  expect(status(await request('rebound.example'))).toBe(403);
});

test('a broker that gives a value with a line break grants nothing', async () => {
  await using world = await setUp();
  world.broker.setLease('eve', granted('eve', 'a\r\nX-Admin: true'));
  const response = await post(world.sidecar.url, body, { token: 'eve' });
  expect(response.status).toBe(503);
  expect(world.upstream.received).toHaveLength(0);
});

test('neither a credential nor a key is in what the sidecar writes or shows', async () => {
  await using world = await setUp();
  world.broker.setLease('secret-credential', granted('secret', 'secret-key-1'));
  world.broker.setLease('secret-credential-2', granted('secret2', 'secret-key-2\r\n'));
  await post(world.sidecar.url, body, { token: 'secret-credential' });
  await post(world.sidecar.url, body, { token: 'secret-credential-2' });
  await post(world.sidecar.url, '{', { token: 'secret-credential' });
  await eventually(() => world.broker.events.size === 3);
  const shown =
    world.sidecar.output + (await world.sidecar.metrics()) + JSON.stringify([...world.broker.events.values()]);
  expect(shown).not.toContain('secret-credential');
  expect(shown).not.toContain('secret-key');
});

test('another process of the same user cannot read its memory', async () => {
  await using world = await setUp();
  const { readFile, stat } = await import('node:fs/promises');
  const limits = await readFile(`/proc/${world.sidecar.process.pid}/limits`, 'utf8');
  expect(limits).toMatch(/Max core file size\s+0\s+0/);
  // The files of a process that may not be dumped belong to root, whoever runs it.
  expect((await stat(`/proc/${world.sidecar.process.pid}/mem`)).uid).toBe(0);
});

test('ignores the proxy settings of its environment', async () => {
  await using broker = await BrokerDouble.start();
  await using upstream = await Upstream.recording();
  const env = {
    http_proxy: 'http://127.0.0.1:1',
    https_proxy: 'http://127.0.0.1:1',
    HTTP_PROXY: 'http://127.0.0.1:1',
    HTTPS_PROXY: 'http://127.0.0.1:1',
  };
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port, env });
  broker.setLease('alice', granted('alice', 'k'));
  expect((await post(sidecar.url, body, { token: 'alice' })).status).toBe(200);
});
