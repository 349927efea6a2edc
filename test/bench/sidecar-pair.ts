/**
 * Whether a change made the sidecar cheaper: two builds in one run, turn by turn, so that whatever else the machine does falls on
 * both. `node test/bench/sidecar-pair.ts <executable> <executable> [seconds a turn] [pairs] [connections] [users] [body bytes]` prints
 * processor time per request of both, and of each pair how much less the second one took.
 */
import { readdir, readFile } from 'node:fs/promises';
import { SidecarProcess } from '#test/integration/sidecar/support/sidecar-process.ts';
import { proxyProcessor, saturate, type Speech, usersMax } from './sidecar/load.ts';
import { pinTo, startBroker, startUpstream, usage } from './sidecar/targets.ts';

const [, , first = '', second = '', ...numbers] = process.argv;
const [seconds = 2, pairs = 6, connections = 32, users = 1, bodyBytes = 1_000] = numbers.map(Number);

interface Build {
  readonly sidecar: SidecarProcess;
  readonly speech: Speech;
  readonly turns: Turn[];
}

interface Turn {
  readonly cpuUs: number;
  readonly requestsPerSecond: number;
}

async function start(program: string, upstreamPort: number): Promise<Build> {
  const sidecar = await SidecarProcess.start({ broker, upstreamPort, program });
  await pinTo(sidecar.process.pid!, proxyProcessor);
  return { sidecar, speech: { url: sidecar.url, tool: 'search', session: {} }, turns: [] };
}

/** Nanoseconds that all threads have run; the figures of `stat` come in steps of 10 ms. */
async function cpuNs(pid: number): Promise<number> {
  let total = 0;
  for (const thread of await readdir(`/proc/${pid}/task`)) {
    const text = await readFile(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').catch(() => '0');
    total += Number(text.split(' ')[0]);
  }
  return total;
}

async function turn({ sidecar, speech, turns }: Build): Promise<void> {
  const before = await cpuNs(sidecar.process.pid!);
  const done = await saturate(speech, { seconds, connections, users, bodyBytes });
  const cpuUs = (await cpuNs(sidecar.process.pid!)) - before;
  turns.push({ cpuUs: cpuUs / 1_000 / done.requests, requestsPerSecond: done.requests / done.seconds });
}

function middle(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

await using broker = await startBroker(users === 1 ? 1 : usersMax);
await using upstream = await startUpstream();
const one = await start(first, upstream.port);
const other = await start(second, upstream.port);
try {
  for (const { speech } of [one, other])
    await saturate(speech, { seconds: Math.max(3, seconds), connections, users, bodyBytes });
  for (let pair = 0; pair < pairs; pair += 1) {
    // Who begins changes, as the machine gets warm.
    for (const build of pair % 2 === 0 ? [one, other] : [other, one]) await turn(build);
  }
  for (const [name, { sidecar, turns }] of [
    [first, one],
    [second, other],
  ] as const) {
    const { rssBytes, anonymousBytes } = await usage([sidecar.process.pid!]);
    const cpu = middle(turns.map(({ cpuUs }) => cpuUs)).toFixed(1);
    const rate = middle(turns.map(({ requestsPerSecond }) => requestsPerSecond)).toFixed(0);
    const [rss, own] = [rssBytes, anonymousBytes].map((bytes) => (bytes / 1_048_576).toFixed(0));
    console.log(`${name}: ${cpu} us a request, ${rate} requests/s, RSS ${rss} MiB, ${own} of it anonymous`);
  }
  const gains = one.turns.map(({ cpuUs }, pair) => 1 - (other.turns[pair]?.cpuUs ?? Number.NaN) / cpuUs);
  console.log(
    `less: ${gains.map((gain) => `${(gain * 100).toFixed(1)}%`).join(' ')}; middle ${(middle(gains) * 100).toFixed(1)}%`,
  );
} finally {
  for (const { sidecar } of [one, other]) await sidecar[Symbol.asyncDispose]();
}
