/** Node's parser, which many servers behind a proxy have, as a second opinion on where a request begins and ends. */
import { once } from 'node:events';
import { createServer, METHODS } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { clientWorld, ok, type Seen, seen, settled } from './client-world.ts';

let nodeSeen: Seen[] = [];
const node = createServer({ insecureHTTPParser: false, requireHostHeader: true }, (request, response) => {
  const pieces: Buffer[] = [];
  request.on('data', (piece: Buffer) => pieces.push(piece));
  request.on('end', () => {
    nodeSeen.push({ method: request.method!, path: request.url!, body: Buffer.concat(pieces).toString('latin1') });
    response.end();
  });
  request.on('error', () => {});
});
node.on('clientError', (_error, socket) => socket.destroy());

beforeAll(async () => {
  node.listen(0, '127.0.0.1');
  await once(node, 'listening');
});
afterAll(() => node.close());

async function throughNode(text: string): Promise<readonly Seen[]> {
  nodeSeen = [];
  const socket = connect((node.address() as AddressInfo).port, '127.0.0.1');
  socket.on('error', () => {});
  socket.resume();
  socket.end(Buffer.from(text, 'latin1'));
  await once(socket, 'close');
  return nodeSeen;
}

async function throughOurs(text: string): Promise<readonly Seen[]> {
  const all: Seen[] = [];
  const { feed } = clientWorld(async (request) => {
    all.push(await seen(request));
    return ok();
  });
  feed(text);
  for (let round = 0; round < 6; round += 1) await settled();
  return all;
}

/** A method may be any token; Node reads on only where it knows it. */
function knownToBoth(requests: readonly Seen[]): readonly Seen[] {
  const unknown = requests.findIndex(({ method }) => !METHODS.includes(method));
  return unknown === -1 ? requests : requests.slice(0, unknown);
}

const methods = fc.constantFrom('GET', 'POST', 'DELETE', 'PUT');
const fields = fc.constantFrom(
  'Content-Length: 5',
  'Content-Length: 5 ',
  'Content-Length: 05',
  'Content-Length: 5, 5',
  'Content-Length: +5',
  'content-length:\t5',
  'Content-Length : 5',
  'Content-Length: 0',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: Chunked',
  'Transfer-Encoding: chunked, identity',
  'Transfer-Encoding: xchunked',
  'Transfer-Encoding : chunked',
  'Transfer-Encoding:\x0bchunked',
  'Transfer_Encoding: chunked',
  ' Transfer-Encoding: chunked',
  'X: 1\nTransfer-Encoding: chunked',
  'X: \x00',
  'X: \xff',
  'Connection: close',
  'Connection: keep-alive',
  'X',
);
const bodies = fc.constantFrom(
  '',
  'hello',
  '5\r\nhello\r\n0\r\n\r\n',
  '5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n',
  '5\nhello\n0\n\n',
  '5 \r\nhello\r\n0\r\n\r\n',
  '0x5\r\nhello\r\n0\r\n\r\n',
  '05\r\nhello\r\n0\r\n\r\n',
  '5\r\nhelloX0\r\n\r\n',
  '0\r\n\r\n',
);
const request = fc
  .record({ method: methods, lines: fc.array(fields, { maxLength: 3 }), body: bodies })
  .map(({ method, lines, body }) => [`${method} /a?b HTTP/1.1`, 'Host: x', ...lines, '', body].join('\r\n'));
const cut = fc.record({ at: fc.nat(200), insert: fc.constantFrom('', '\r', '\n', ' ', '\t', '0', ':') });

test('what is a request to us is the same request to a second parser, and nothing between is one', async () => {
  let agreed = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 3 }), fc.option(cut), async (texts, change) => {
      const whole = texts.join('');
      const text = change === null ? whole : whole.slice(0, change.at) + change.insert + whole.slice(change.at);
      const ours = knownToBoth(await throughOurs(text));
      const theirs = await throughNode(text);
      // They may take more than we do, and never fewer or others.
      expect(theirs.slice(0, ours.length)).toEqual(ours);
      agreed += ours.length;
    }),
    { numRuns: 600 },
  );
  expect(agreed).toBeGreaterThan(100);
}, 60_000);
