/** The official conformance suite, as its own program. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const suite = 'node_modules/@modelcontextprotocol/conformance/dist/index.js';
const preload = resolve(import.meta.dirname, '../programs/show-credential.ts');

export interface SuiteRun {
  readonly args: readonly string[];
  /** Value of Authorization on every request that has none. */
  readonly authorization?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** What a run found, by scenario; each line is `<status> <check>: <message>`. */
export type Verdicts = Readonly<Record<string, readonly string[]>>;

export async function runSuite({ args, authorization, env = {} }: SuiteRun): Promise<Verdicts> {
  const directory = await mkdtemp(join(tmpdir(), 'conformance-'));
  const shown = authorization === undefined ? [] : ['--import', preload];
  const child = spawn(process.execPath, [...shown, suite, ...args, '--output-dir', directory], {
    env: { ...process.env, ...env, SHOWN_AUTHORIZATION: authorization ?? '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await once(child, 'close');
  try {
    return await readVerdicts(directory, output);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

interface Check {
  readonly id: string;
  readonly status: 'SUCCESS' | 'FAILURE' | 'WARNING' | 'SKIPPED' | 'INFO';
  readonly errorMessage?: string;
}

async function readVerdicts(directory: string, output: string): Promise<Verdicts> {
  const verdicts: Record<string, string[]> = {};
  for (const path of await readdir(directory, { recursive: true })) {
    if (!path.endsWith('checks.json')) continue;
    const scenario = path.replace(/^server-/, '').replace(/-\d{4}-\d\d-\d\dT[^/]*\/checks\.json$/, '');
    const checks = JSON.parse(await readFile(join(directory, path), 'utf8')) as readonly Check[];
    verdicts[scenario] = checks.map(line).toSorted();
  }
  if (Object.keys(verdicts).length === 0) throw new Error(`the suite ran no scenario:\n${output.slice(-2_000)}`);
  return verdicts;
}

/** Addresses and times differ from run to run. */
function line({ id, status, errorMessage }: Check): string {
  return errorMessage === undefined ? `${status} ${id}` : `${status} ${id}: ${errorMessage.replaceAll(/\d{2,}/g, '#')}`;
}

/** The checks of a run that are not as they should be. */
export function failuresOf(verdicts: Verdicts): string[] {
  return Object.entries(verdicts).flatMap(([scenario, lines]) =>
    lines.filter((text) => text.startsWith('FAILURE')).map((text) => `${scenario}: ${text}`),
  );
}
