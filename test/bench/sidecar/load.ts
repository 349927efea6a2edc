/** Load on one target: as much as it takes (wrk), at a fixed rate that waits for nobody (fortio), and as open streams. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The processor that load and upstream share; proxies have the other. */
export const loadProcessor = '0';
export const proxyProcessor = '1';

/** As many as a sidecar keeps leases for. */
export const usersMax = 10_000;

export function tokenOf(user: number): string {
  return `token-of-user-${String(user).padStart(5, '0')}-0123456789abcdef01`;
}

/** How clients speak to a target. */
export interface Speech {
  readonly url: string;
  readonly tool: string;
  /** What the target asked for when the session began. */
  readonly session: Readonly<Record<string, string>>;
}

function bodyOf(tool: string, bytes: number): string {
  const args = { answerBytes: bytes, text: 'y'.repeat(Math.max(0, bytes - 110)) };
  return JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: tool, arguments: args } });
}

function headersOf({ session }: Speech): Record<string, string> {
  return {
    authorization: `Bearer ${tokenOf(0)}`,
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    ...session,
  };
}

export interface Saturation {
  readonly seconds: number;
  readonly connections: number;
  readonly bodyBytes?: number;
  readonly users?: number;
}

/** Each user's request, written once: Lua in the load's way would measure Lua. */
const luaUsers = `
local requests, turn = {}, 0
init = function()
  for user = 0, USERS - 1 do
    wrk.headers["authorization"] = string.format("Bearer token-of-user-%05d-0123456789abcdef01", user)
    requests[user] = wrk.format()
  end
end
request = function() turn = (turn + 1) % USERS; return requests[turn] end`;

/** Closed loop: each connection sends the next request when the last is answered. */
export async function saturate(
  speech: Speech,
  { seconds, connections, bodyBytes = 1_000, users = 1 }: Saturation,
): Promise<{ readonly requests: number; readonly seconds: number }> {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'wrk-'));
  const script = join(directory.path, 'post.lua');
  const lines = Object.entries(headersOf(speech)).map(([name, value]) => `wrk.headers["${name}"] = "${value}"`);
  const perUser = users === 1 ? [] : [luaUsers.replaceAll('USERS', String(users))];
  const body = `wrk.body = [[${bodyOf(speech.tool, bodyBytes)}]]`;
  await writeFile(script, ['wrk.method = "POST"', body, ...lines, ...perUser].join('\n'));
  const load = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '20s', '-s', script, speech.url];
  const { stdout } = await run('taskset', ['-c', loadProcessor, 'wrk', ...load]);
  if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(`requests failed at ${speech.url}:\n${stdout}`);
  const [, requests, took] = /(\d+) requests in ([\d.]+)s/.exec(stdout) ?? [];
  return { requests: Number(requests), seconds: Number(took) };
}

export const percentiles = [50, 90, 99, 99.9] as const;

/** Open loop: a request is due at its time whether or not earlier ones are answered. One latency in ms for each of `percentiles`. */
export async function fixedRate(
  speech: Speech,
  options: { readonly seconds: number; readonly ratePerSecond: number; readonly connections: number },
): Promise<readonly number[]> {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'fortio-'));
  const file = join(directory.path, 'result.json');
  const headerFlags = Object.entries(headersOf(speech)).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
  const rate = ['-c', `${options.connections}`, '-qps', `${options.ratePerSecond}`, '-t', `${options.seconds}s`];
  const output = ['-uniform', '-quiet', '-r', '0.00001', '-p', percentiles.join(','), '-json', file];
  const request = ['-payload', bodyOf(speech.tool, 1_000), ...headerFlags, speech.url];
  await run('taskset', ['-c', loadProcessor, 'fortio', 'load', ...rate, ...output, ...request]);
  const { DurationHistogram, RetCodes } = JSON.parse(await readFile(file, 'utf8')) as {
    DurationHistogram: { Percentiles: { Value: number }[] };
    RetCodes: Record<string, number>;
  };
  const failed = Object.keys(RetCodes).filter((code) => code !== '200');
  if (failed.length > 0) throw new Error(`requests failed: ${JSON.stringify(RetCodes)}`);
  return DurationHistogram.Percentiles.map(({ Value }) => Value * 1_000);
}

export interface StreamsReport {
  readonly opened: number;
  readonly events: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Keeps streams open while `whileOpen` looks at the proxy. */
export async function openStreams<T>(
  speech: Speech,
  options: { readonly streams: number; readonly seconds: number; readonly whileOpen: () => Promise<T> },
): Promise<StreamsReport & { readonly seen: T }> {
  const program = join(import.meta.dirname, 'stream-load.ts');
  const args = [program, speech.url, `${options.streams}`, `${options.seconds}`];
  const headers = JSON.stringify(headersOf(speech));
  const child = spawn('taskset', ['-c', loadProcessor, process.execPath, ...args, headers], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const [line] = (await Promise.race([once(createInterface(child.stdout), 'line'), exited])) as [string | number];
  if (typeof line !== 'string') throw new Error(`streams could not be opened at ${speech.url}`);
  const seen = await options.whileOpen();
  child.stdin.end();
  await exited;
  return { ...(JSON.parse(line) as StreamsReport), seen };
}
