import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const root: string = resolve(import.meta.dirname, '../..');

/** Every file that git tracks or would track, as it is in the working tree. */
export function repositoryFiles(): readonly string[] {
  const output = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  });
  return output.split('\n').filter((file) => file !== '' && existsSync(join(root, file)));
}

export function read(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}

export function typescriptFiles(): readonly string[] {
  return repositoryFiles().filter((file) => file.endsWith('.ts') && !file.includes('/generated/'));
}

/** Module specifiers of a file: static and dynamic imports, re-exports, type imports. */
export function importsOf(file: string): readonly string[] {
  const pattern = /(?:\bfrom\s+|\bimport\s*\(\s*|^\s*import\s+)['"]([^'"]+)['"]/gmu;
  return [...read(file).matchAll(pattern)].flatMap((match) => (match[1] === undefined ? [] : [match[1]]));
}
