import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

import { beforeAll, expect, test } from 'vitest';

import { readVectors } from '../../unit/envelope/vectors/format.ts';

const cryptographyVersion = '50.0.2';
const script = resolve(import.meta.dirname, '../../vectors/envelope/verify.py');
const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
const venv = join(cache, 'mcp-keyring/python', cryptographyVersion);
const python = join(venv, 'bin/python');

function run(command: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', timeout: 110_000 });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stdout + stderr}`);
  return stdout;
}

beforeAll(() => {
  if (existsSync(join(venv, 'complete'))) return;
  run('python3', ['-m', 'venv', '--clear', venv]);
  run(python, [
    '-m',
    'pip',
    'install',
    '--quiet',
    '--disable-pip-version-check',
    `cryptography==${cryptographyVersion}`,
  ]);
  run('touch', [join(venv, 'complete')]);
});

test('an implementation in Python, from the description alone, agrees on every vector', () => {
  const count = readVectors().length;
  expect(count).toBeGreaterThan(40);
  expect(run(python, [script])).toContain(`${count} passed, 0 failed`);
});
