/** The Python SDK and FastMCP, in an environment of their own, installed once. */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Outcomes, Visit, VisitAll } from './visits.ts';

const folder = resolve(import.meta.dirname, '../python');
const requirements = join(folder, 'requirements.txt');
const digest = createHash('sha256').update(readFileSync(requirements)).digest('hex').slice(0, 12);
const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
const environment = join(cache, 'mcp-keyring/python', `mcp-${digest}`);

export const python = join(environment, 'bin/python');
export const pythonServer = join(folder, 'server.py');

/** Installs what `requirements.txt` pins. Takes a minute the first time, nothing afterwards. */
export function installPython(): void {
  if (existsSync(join(environment, 'complete'))) return;
  run('python3', ['-m', 'venv', '--clear', environment]);
  run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps', '-r', requirements]);
  run('touch', [join(environment, 'complete')]);
}

function run(command: string, args: readonly string[]): void {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', timeout: 280_000 });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stdout + stderr}`);
}

/** One program for all visits, as it takes long to begin. */
export function visitAllPython(kind: 'mcp' | 'fastmcp'): VisitAll {
  return async (visits: readonly Visit[]) => {
    const child = spawn(python, [join(folder, 'client.py'), kind]);
    child.stdin.end(JSON.stringify(visits));
    const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
    if (output === '') throw new Error(`the ${kind} client wrote nothing:\n${errors.slice(-2_000)}`);
    return JSON.parse(output) as readonly Outcomes[];
  };
}
