/** Clients that ask for large answers and read nothing of them: what waits for them is bounded, and others are served. */
import { connect, type Socket } from 'node:net';
import { beforeAll, expect, test } from 'vitest';
import { setUpSidecar } from './support/set-up.ts';
import { buildOnce } from './support/sidecar-process.ts';
import type { Responder } from './support/upstream.ts';
import { call, eventually, post } from './support/wire.ts';

beforeAll(buildOnce);

const mebibyte = 1_048_576;
const large = 'x'.repeat(8 * mebibyte);
const body = call('x');

/** Large where the target says so: more than kernels keep for a connection. */
const respond: Responder = (request, response, content) => {
  const { id } = JSON.parse(content) as { id: unknown };
  const text = request.url === '/mcp?large' ? large : '';
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ jsonrpc: '2.0', id, result: { content: [{ type: 'text', text }] } }));
};

/** Reads nothing. With `sips`, 40 KB a second, so that it never stands still. */
function slowReader(port: number, user: string, sips: boolean): Socket {
  const lines = ['POST /mcp?large HTTP/1.1', 'Host: x', `Authorization: Bearer ${user}`];
  const fields = ['Content-Type: application/json', `Content-Length: ${body.length}`];
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.on('connect', () => socket.write([...lines, ...fields, '', body].join('\r\n')));
  if (!sips) return socket.pause();
  const sipping = setInterval(() => socket.read(4_096), 100);
  return socket.on('readable', () => {}).on('close', () => clearInterval(sipping));
}

test.each([
  ['reads nothing of it', ['alice'], false],
  ['sips, as many users,', ['alice', 'carol', 'dave', 'erin'], true],
])(
  'who asks for much and %s takes bounded memory, while others get large answers whole',
  async (_name, users, sips) => {
    await using world = await setUpSidecar({ users: [...users, 'bob'], respond });
    await post(world.sidecar.url, body, { token: 'bob' });
    const beforeBytes = await world.sidecar.residentBytes();
    const readers: Socket[] = [];
    let mostBytes = 0;
    for (let batch = 0; batch < 5; batch += 1) {
      for (let one = 0; one < 60; one += 1) {
        readers.push(slowReader(world.sidecar.port, users[one % users.length]!, sips));
      }
      await eventually(() => world.upstream.received.length === 1 + readers.length + batch, 30_000);
      mostBytes = Math.max(mostBytes, await world.sidecar.residentBytes());
      const answer = await post(`${world.sidecar.url}?large`, body, { token: 'bob' });
      expect((await answer.text()).length).toBeGreaterThan(large.length);
    }
    // 16 MiB wait; the rest are buffers that the collector has not come for. Without a bound it is 0.8 MiB for each reader.
    expect((mostBytes - beforeBytes) / mebibyte).toBeLessThan(140);
    expect(await world.sidecar.metrics()).toMatch(/mcpkeyring_connections_cut_total\{reason="tooSlow"\} [1-9]/);
    for (const reader of readers) reader.destroy();
  },
  120_000,
);
