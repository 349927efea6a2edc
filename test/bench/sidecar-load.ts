/** Load on one port: as much as it takes (wrk), and at a fixed rate that waits for nobody (fortio). */
import { execFile } from 'node:child_process';
import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The processor that load and upstream share; proxies have the other. */
export const loadProcessor = '0';
export const proxyProcessor = '1';

export const token = 'token-of-alice-0123456789abcdef0123456789abcdef';
const body = JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  method: 'tools/call',
  params: { name: 'search', arguments: { text: 'y'.repeat(1_000) } },
});
const headers = {
  authorization: `Bearer ${token}`,
  'content-type': 'application/json',
  accept: 'application/json, text/event-stream',
};

export interface Latency {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Closed loop: each connection sends the next request when the last is answered. */
export async function saturate(
  port: number,
  options: { readonly seconds: number; readonly connections: number },
): Promise<{ readonly requests: number; readonly seconds: number }> {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'wrk-'));
  const script = join(directory.path, 'post.lua');
  const lines = Object.entries(headers).map(([name, value]) => `wrk.headers["${name}"] = "${value}"`);
  await writeFile(script, ['wrk.method = "POST"', `wrk.body = [[${body}]]`, ...lines].join('\n'));
  const load = [
    '-t1',
    `-c${options.connections}`,
    `-d${options.seconds}s`,
    '-s',
    script,
    `http://127.0.0.1:${port}/mcp`,
  ];
  const { stdout } = await run('taskset', ['-c', loadProcessor, 'wrk', ...load]);
  if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(`requests failed on port ${port}:\n${stdout}`);
  const [, requests, seconds] = /(\d+) requests in ([\d.]+)s/.exec(stdout) ?? [];
  return { requests: Number(requests), seconds: Number(seconds) };
}

/** Open loop: a request is due at its time whether or not earlier ones are answered. */
export async function fixedRate(
  port: number,
  options: { readonly seconds: number; readonly ratePerSecond: number; readonly connections: number },
): Promise<Latency> {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'fortio-'));
  const file = join(directory.path, 'result.json');
  const headerFlags = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
  const shape = [
    '-c',
    `${options.connections}`,
    '-qps',
    `${options.ratePerSecond}`,
    '-t',
    `${options.seconds}s`,
    '-uniform',
  ];
  const output = ['-quiet', '-r', '0.00001', '-p', '50,99', '-json', file];
  const request = ['-payload', body, ...headerFlags, `http://127.0.0.1:${port}/mcp`];
  await run('taskset', ['-c', loadProcessor, 'fortio', 'load', ...shape, ...output, ...request]);
  const { DurationHistogram, RetCodes } = JSON.parse(await readFile(file, 'utf8')) as {
    DurationHistogram: { Percentiles: { Percentile: number; Value: number }[] };
    RetCodes: Record<string, number>;
  };
  if (Object.keys(RetCodes).some((code) => code !== '200'))
    throw new Error(`requests failed: ${JSON.stringify(RetCodes)}`);
  const [p50, p99] = DurationHistogram.Percentiles;
  return { p50Ms: p50!.Value * 1_000, p99Ms: p99!.Value * 1_000 };
}
