/**
 * What it costs to judge the body of a request: the one scan of the sidecar beside `JSON.parse` alone, and beside `JSON.parse` with
 * the checks that it leaves out. Run it by the runtime of the sidecar: node_modules/@oven/bun-linux-x64/bin/bun test/bench/body.ts
 */
import { parseMessage } from '#sidecar/mcp/message.ts';
import { parseStrictJson } from '#test/support/reference-json.ts';

const utf8 = new TextEncoder();
const decoder = new TextDecoder();

function call(args: object, meta: object = {}): Uint8Array {
  const params = { name: 'search', arguments: args, ...meta };
  return utf8.encode(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params }));
}

function rows(count: number): object {
  const row = (id: number): object => ({ id, name: `item ${id}`, tags: ['a', 'b"c'], ok: true, share: id / 3 });
  return { rows: Array.from({ length: count }, (_item, index) => row(index)) };
}

const modern = {
  _meta: {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientCapabilities': { elicitation: { url: {} } },
  },
};

const bodies: Readonly<Record<string, Uint8Array>> = {
  'a small call': call({ q: 'hello', limit: 10 }),
  'a small call, modern': call({ q: 'hello', limit: 10 }, modern),
  '1 KB of text': call({ text: 'x'.repeat(900) }),
  '1 KB of objects': call(rows(14)),
  '64 KB of text': call({ text: 'lorem "ipsum" dolor\n'.repeat(2_800) }),
  '64 KB of objects': call(rows(850)),
  '1 MB of text': call({ text: 'y'.repeat(1 << 20) }),
  '1 MB of objects': call(rows(13_000)),
  '400 000 keys': call(Object.fromEntries(Array.from({ length: 400_000 }, (_item, index) => [`k${index}`, 1]))),
};

const readers: Readonly<Record<string, (bytes: Uint8Array) => unknown>> = {
  scan: parseMessage,
  'JSON.parse, checked': parseStrictJson,
  'JSON.parse alone': (bytes) => JSON.parse(decoder.decode(bytes)),
};

const cellMs = 500;

/** The best of many short rounds, as other programs share the machine; microseconds. */
function measure(read: (bytes: Uint8Array) => unknown, bytes: Uint8Array): number {
  const times = Math.max(1, Math.min(2_000, Math.floor(2e6 / bytes.length)));
  let best = Infinity;
  const untilMs = performance.now() + cellMs;
  while (performance.now() < untilMs) {
    const startedMs = performance.now();
    for (let time = 0; time < times; time += 1) read(bytes);
    best = Math.min(best, ((performance.now() - startedMs) / times) * 1_000);
  }
  return best;
}

// Until the compiler has seen them all.
for (const bytes of Object.values(bodies)) for (const read of Object.values(readers)) measure(read, bytes);

console.log(`| µs | bytes | ${Object.keys(readers).join(' | ')} |`);
console.log(`|---|---|${'---|'.repeat(Object.keys(readers).length)}`);
for (const [name, bytes] of Object.entries(bodies)) {
  const cells = Object.values(readers).map((read) => measure(read, bytes).toPrecision(3));
  console.log(`| ${name} | ${bytes.length} | ${cells.join(' | ')} |`);
}
