/**
 * Latency of leases, from the sidecar's side of the wire: one broker in a process of its own, with TLS, signed user tokens, sealed keys
 * and an audit log on disk. TokenReviews take 10 ms, as an API server would.
 * Usage: node test/bench/lease.ts [--rate 1000] [--seconds 10]
 */
import { fork, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { TestBrokerClient } from '#test/support/broker-client.ts';
import { github } from '#test/support/broker-world.ts';
import { makeTestCertificate } from '#test/support/test-certificates.ts';

const { values } = parseArgs({
  options: { rate: { type: 'string', default: '1000' }, seconds: { type: 'string', default: '10' } },
});
const tickMs = 5;

interface Usage {
  readonly cpu: NodeJS.CpuUsage;
  readonly residentBytes: number;
}

async function usageOf(broker: ChildProcess): Promise<Usage> {
  broker.send('usage');
  const [usage] = (await once(broker, 'message')) as [Usage];
  return usage;
}

function summary(latenciesMs: readonly number[]): { p50: string; p99: string; max: string } {
  const sorted = latenciesMs.toSorted((a, b) => a - b);
  const at = (share: number): string => `${(sorted[Math.floor((sorted.length - 1) * share)] ?? 0).toFixed(2)} ms`;
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

/** Every pod's first lease: its token is reviewed. */
async function cold(client: TestBrokerClient, tokens: readonly string[]): Promise<readonly number[]> {
  const latencies: number[] = [];
  for (const [index, token] of tokens.entries()) {
    const startedAt = performance.now();
    await client.lease(github, token, `pod:team-a/github-${index}`);
    latencies.push(performance.now() - startedAt);
  }
  return latencies;
}

/** Open loop: leases are asked for at `rate` a second whether or not earlier ones were answered. */
async function warm(client: TestBrokerClient, tokens: readonly string[]): Promise<readonly number[]> {
  const latencies: number[] = [];
  const asked: Promise<void>[] = [];
  const total = Number(values.rate) * Number(values.seconds);
  const beganAt = performance.now();
  while (asked.length < total) {
    const due = Math.min(total, Math.floor(((performance.now() - beganAt) / 1_000) * Number(values.rate)));
    while (asked.length < due) {
      const token = tokens[asked.length % tokens.length] ?? '';
      const startedAt = performance.now();
      asked.push(
        client.lease(github, token, 'pod:team-a/github-0').then(() => {
          latencies.push(performance.now() - startedAt);
          return undefined;
        }),
      );
    }
    await new Promise((resolve) => setTimeout(resolve, tickMs));
  }
  await Promise.all(asked);
  return latencies;
}

const folder = mkdtempSync(join(tmpdir(), 'bench-'));
const { ca, cert, key } = await makeTestCertificate(['localhost']);
writeFileSync(join(folder, 'cert.pem'), cert);
writeFileSync(join(folder, 'key.pem'), key);
const broker = fork(
  join(import.meta.dirname, 'broker-process.ts'),
  [randomUUID(), join(folder, 'cert.pem'), join(folder, 'key.pem'), 'bench'],
  {
    execArgv: ['--expose-gc', '--disable-warning=ExperimentalWarning'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  },
);
try {
  const [{ port, tokens }] = (await once(broker, 'message')) as [{ port: number; tokens: readonly string[] }];
  using client = new TestBrokerClient(port, ca);
  await cold(client, tokens.slice(0, 10));
  console.log('cold', summary(await cold(client, tokens.slice(10))));
  await warm(client, tokens);
  const before = await usageOf(broker);
  const beganAt = performance.now();
  const latencies = await warm(client, tokens);
  const seconds = (performance.now() - beganAt) / 1_000;
  const after = await usageOf(broker);
  const cpuSeconds = (after.cpu.user + after.cpu.system - before.cpu.user - before.cpu.system) / 1e6;
  console.log('warm', summary(latencies), {
    'leases/s': Math.round(latencies.length / seconds),
    vCPU: (cpuSeconds / seconds).toFixed(2),
    'CPU per lease': `${((cpuSeconds / latencies.length) * 1e6).toFixed(0)} us`,
    RSS: `${Math.round(after.residentBytes / 2 ** 20)} MiB`,
  });
} finally {
  broker.kill();
  rmSync(folder, { recursive: true, force: true });
}
