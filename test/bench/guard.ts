/**
 * What it costs to look for a user's key in what a server sends, and to hide tools: the code of the sidecar alone, in the runtime that
 * the sidecar is compiled with. `node_modules/@oven/bun-linux-x64/bin/bun test/bench/guard.ts` prints a Markdown table.
 */
import { EchoGuard } from '#sidecar/echo/echo-guard.ts';
import { guardChunks } from '#sidecar/echo/guard-chunks.ts';
import { UserGuards } from '#sidecar/echo/user-guards.ts';
import { filterToolList } from '#sidecar/mcp/tool-list.ts';
import { toolFilter } from '#sidecar/mcp/tool-rules.ts';

const key = 'ghp_A1b2C3d4E5f6G7h8J9k0L1m2N3o4P5q6R7s8';
const encoder = new TextEncoder();
const roundMs = 100;
const rounds = 5;

/** An answer of about `bytes`, of words, quotes and escapes as a tool gives them. */
function answerOf(bytes: number, more = ''): Uint8Array {
  const words = Array.from({ length: bytes / 9 }, (_, index) => `word${((index * 7919) % 46_656).toString(36)}`);
  return encoder.encode(JSON.stringify({ jsonrpc: '2.0', id: 1, result: { text: `${words.join('\n ')}${more}` } }));
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

/** Nanoseconds of processor time a call, the least of several rounds, as other programs share the machine. */
function measure(work: () => unknown): number {
  let best = Number.POSITIVE_INFINITY;
  let calls = 1;
  for (let round = 0; round < rounds; round += 1) {
    const startedMs = cpuMs();
    for (let index = 0; index < calls; index += 1) work();
    const tookMs = cpuMs() - startedMs;
    if (tookMs > roundMs / 4) best = Math.min(best, (tookMs * 1e6) / calls);
    else round -= 1;
    calls = Math.ceil(calls * Math.min(8, Math.max(1, roundMs / Math.max(tookMs, 0.01))));
  }
  return best;
}

function row(what: string, nanoseconds: number): void {
  console.log(`| ${what} | ${(nanoseconds / 1_000).toFixed(nanoseconds < 10_000 ? 2 : 0)} |`);
}

const guard = EchoGuard.of([
  { name: 'Authorization', value: `Bearer ${key}`, key: { start: 7, end: 7 + key.length } },
])!;
console.log('| | us |\n|---|---|');
for (const [name, bytes] of [
  ['1 KB', 1_000],
  ['64 KB', 64_000],
  ['1 MB', 1_000_000],
] as const) {
  const answer = answerOf(bytes);
  row(
    `answer of ${name}, no key in it`,
    measure(() => guard.mask(answer, true)),
  );
  const escaped = answerOf(bytes, ' 100% \u0001');
  row(
    `answer of ${name}, with a percent sign and an escape`,
    measure(() => guard.mask(escaped, true)),
  );
  const echo = answerOf(bytes, ` ${key}`);
  row(
    `answer of ${name}, key in it`,
    measure(() => guard.mask(echo, true)),
  );
}
const image = encoder.encode(Buffer.from(answerOf(48_000)).toString('base64'));
row(
  'chunk of 64 KB in the middle of base64',
  measure(() => guard.mask(image, false)),
);
const event = encoder.encode(`data: ${'x y '.repeat(50)}\n\n`);
row(
  'event of 200 bytes',
  measure(() => guard.mask(event, false)),
);
row(
  'a lease: the first look for its key',
  measure(() => EchoGuard.of([{ name: 'X-Api-Key', value: key }])!.mask(event, false)),
);
const users = new UserGuards();
const lease = [{ name: 'X-Api-Key', value: key }];
const small = answerOf(1_000);
row(
  'a request of a user with one key, and its answer of 1 KB',
  measure(() => guardRequest('one key')),
);
for (let index = 0; index < 3; index += 1)
  users.begin('four keys', [{ name: 'X-Api-Key', value: `${index}${key}` }]).end();
row(
  'the same of a user who changed the key three times in ten minutes',
  measure(() => guardRequest('four keys')),
);

function guardRequest(user: string): void {
  const response = users.begin(user, lease);
  response.current?.mask(small, true);
  response.end();
}

const filter = toolFilter([{ deny: ['drop_*'] }, { allow: ['get_*', 'list_*'] }])!;
row(
  'a call held against two rules',
  measure(() => filter.allows('get_notes')),
);
const schema = { type: 'object', properties: { text: { type: 'string', description: 'x'.repeat(200) } } };
const tools = Array.from({ length: 50 }, (_, index) => ({
  name: `${index % 5 === 0 ? 'drop' : 'get'}_${index}`,
  schema,
}));
const list = JSON.stringify({ jsonrpc: '2.0', id: 1, result: { tools } });
row(
  `a list of 50 tools (${Math.round(list.length / 1_000)} KB) filtered`,
  measure(() => filterToolList(list, filter, 'legacy')),
);

/** A stream of many events through the guard, an event each. */
async function eventCost(): Promise<number> {
  const count = 200_000;
  let left = count;
  const source = { read: async () => (left-- > 0 ? event : undefined), cancel: () => {} };
  const guarded = guardChunks(source, { guard: { current: guard }, onEcho: () => {} });
  const startedMs = cpuMs();
  while ((await guarded.read()) !== undefined);
  return ((cpuMs() - startedMs) * 1e6) / count;
}
row('event of 200 bytes, through the layer', await eventCost());
