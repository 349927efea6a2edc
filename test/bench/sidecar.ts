/**
 * What the sidecar costs, beside other proxies: the same upstream reached directly and through each of them, in one run on one machine,
 * round by round. `node test/bench/sidecar.ts [seconds a phase] [rounds] [part of a name]...` prints Markdown tables of medians.
 * Installs nginx, HAProxy, wrk (apt), fortio (Go) and the proxies of test/bench/sidecar/peers.ts when they are absent. Proxies have one
 * processor, load, upstream and broker the other.
 */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSidecar } from '../../build/sidecar.ts';
import { measure, type Measured, median } from './sidecar/measure.ts';
import { tables } from './sidecar/tables.ts';
import { startTargets } from './sidecar/targets.ts';

const [, , secondsText = '4', roundsText = '3', ...only] = process.argv;
const seconds = Number(secondsText);
const rounds = Number(roundsText);
const fortioVersion = 'v1.63.9';

function require(command: string, install: readonly string[]): void {
  if (spawnSync('which', [command]).status === 0) return;
  const { status } = spawnSync(install[0]!, install.slice(1), { stdio: 'inherit' });
  if (status !== 0) throw new Error(`${command} is not here and could not be installed`);
}

require('nginx', ['apt-get', 'install', '-y', 'nginx-light']);
require('haproxy', ['apt-get', 'install', '-y', 'haproxy']);
require('wrk', ['apt-get', 'install', '-y', 'wrk']);
process.env['PATH'] = `${process.env['HOME']}/go/bin:${process.env['PATH']}`;
require('fortio', ['go', 'install', `fortio.org/fortio@${fortioVersion}`]);

await buildSidecar('amd64');
const directory = await mkdtemp(join(tmpdir(), 'bench-'));
const running = await startTargets(directory);
try {
  const named = (name: string): boolean => only.length === 0 || only.some((part) => name.includes(part));
  const targets = running.targets.filter(({ name }) => name === 'direct' || named(name));
  const results = new Map<string, Measured[]>(targets.map(({ name }) => [name, []]));
  // Round by round, so that what else the machine does falls on all of them.
  for (let round = 1; round <= rounds; round += 1) {
    for (const target of targets) {
      console.error(`round ${round} of ${rounds}: ${target.name}`);
      results.get(target.name)!.push(await measure(target, seconds));
    }
  }
  console.log(tables(new Map([...results].map(([name, all]) => [name, median(all)]))));
} finally {
  await running.stop();
  await rm(directory, { recursive: true });
}
