/**
 * What the sidecar costs: the same upstream reached directly, through nginx and HAProxy with a static map from token to header, and
 * through the sidecar with everything on, in one run on one machine. `node test/bench/sidecar.ts [seconds a phase] [rounds]`
 * prints a Markdown table. Installs nginx, HAProxy, wrk (apt) and fortio (Go) when they are absent. Proxies have one processor,
 * load and upstream the other.
 */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSidecar } from '../../build/sidecar.ts';
import { fixedRate, type Latency, saturate } from './sidecar-load.ts';
import { startTargets, type Target, usage } from './sidecar-targets.ts';

const seconds = Number(process.argv[2] ?? 8);
const rounds = Number(process.argv[3] ?? 3);
const ratePerSecond = 1_000;
const fortioVersion = 'v1.63.9';

function require(command: string, install: readonly string[]): void {
  if (spawnSync('which', [command]).status === 0) return;
  const { status } = spawnSync(install[0]!, install.slice(1), { stdio: 'inherit' });
  if (status !== 0) throw new Error(`${command} is not here and could not be installed`);
}

interface Measured {
  readonly requestsPerSecond: number;
  readonly latency: Latency;
  readonly rssMiB: number;
  readonly cpuMsPerThousand: number;
}

async function measure(target: Target): Promise<Measured> {
  await saturate(target.port, { seconds: 2, connections: 32 });
  const before = await usage(target.pids);
  const load = await saturate(target.port, { seconds, connections: 32 });
  const after = await usage(target.pids);
  const latency = await fixedRate(target.port, { seconds, ratePerSecond, connections: 8 });
  const rssMiB = (await usage(target.pids)).rssBytes / 1_048_576;
  const cpuMsPerThousand = ((after.cpuMs - before.cpuMs) / load.requests) * 1_000;
  return { requestsPerSecond: load.requests / load.seconds, latency, rssMiB, cpuMsPerThousand };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function summarize(all: readonly Measured[]): Measured {
  const middle = (pick: (one: Measured) => number): number => median(all.map(pick));
  return {
    requestsPerSecond: middle((one) => one.requestsPerSecond),
    latency: { p50Ms: middle((one) => one.latency.p50Ms), p99Ms: middle((one) => one.latency.p99Ms) },
    rssMiB: middle((one) => one.rssMiB),
    cpuMsPerThousand: middle((one) => one.cpuMsPerThousand),
  };
}

function row(
  name: string,
  { requestsPerSecond, latency, rssMiB, cpuMsPerThousand }: Measured,
  direct: Measured,
): string {
  const isDirect = name === 'direct';
  const added = (ms: number, base: number): string => (isDirect ? `(${ms.toFixed(2)})` : `+${(ms - base).toFixed(2)}`);
  const cells = [
    name,
    Math.round(requestsPerSecond).toLocaleString('en'),
    added(latency.p50Ms, direct.latency.p50Ms),
    added(latency.p99Ms, direct.latency.p99Ms),
    isDirect ? '-' : rssMiB.toFixed(0),
    isDirect ? '-' : cpuMsPerThousand.toFixed(0),
  ];
  return `| ${cells.join(' | ')} |`;
}

require('nginx', ['apt-get', 'install', '-y', 'nginx-light']);
require('haproxy', ['apt-get', 'install', '-y', 'haproxy']);
require('wrk', ['apt-get', 'install', '-y', 'wrk']);
process.env['PATH'] = `${process.env['HOME']}/go/bin:${process.env['PATH']}`;
require('fortio', ['go', 'install', `fortio.org/fortio@${fortioVersion}`]);

await buildSidecar('amd64');
const directory = await mkdtemp(join(tmpdir(), 'bench-'));
const running = await startTargets(directory);
const { targets } = running;
try {
  const results = new Map<string, Measured[]>(targets.map(({ name }) => [name, []]));
  // Round by round, so that what else the machine does falls on all of them.
  for (let round = 0; round < rounds; round += 1) {
    for (const target of targets) results.get(target.name)!.push(await measure(target));
  }
  const direct = summarize(results.get('direct')!);
  console.log(`tools/call of 1.1 KB, answer of 1 KB; median of ${rounds} rounds of ${seconds} s\n`);
  console.log(
    '| | req/s, c=32 | added p50 ms at 1000/s | added p99 ms at 1000/s | RSS MiB | CPU ms per 1000 requests |',
  );
  console.log('|---|---|---|---|---|---|');
  for (const [name, all] of results) console.log(row(name, summarize(all), direct));
} finally {
  await running.stop();
  await rm(directory, { recursive: true });
}
