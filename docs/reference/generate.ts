/** Writes the generated pages of the reference. Usage: node docs/reference/generate.ts [--check] */
import { readFileSync, writeFileSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import process from 'node:process';

import { referencePages } from './generator/pages.ts';

const root = resolve(import.meta.dirname, '../..');

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function main(check: boolean): number {
  const stale = [...referencePages(root)].filter(([path, text]) => textOf(path) !== text);
  if (!check) for (const [path, text] of stale) writeFileSync(path, text);
  if (!check || stale.length === 0) return 0;
  const names = stale.map(([path]) => `  ${relative(root, path)}\n`).join('');
  process.stderr.write(`These pages do not fit the code; run \`node docs/reference/generate.ts\`:\n${names}`);
  return 1;
}

process.exitCode = main(process.argv.includes('--check'));
