import { readFile, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import process from 'node:process';
import { parse } from 'yaml';
import { documentedValues, valuesTable } from './values-table.ts';

const charts = ['mcp-keyring', 'mcp-keyring-crds'];
const begin = '<!-- values: written by charts/readme.ts from values.yaml -->\n';
const end = '<!-- end of values -->';

/** The README of a chart with its table of values brought up to date. */
async function currentReadme(
  chart: string,
): Promise<{ readonly path: string; readonly old: string; readonly text: string }> {
  const folder = resolve(import.meta.dirname, chart);
  const path = resolve(folder, 'README.md');
  const [yaml, old] = await Promise.all([readFile(resolve(folder, 'values.yaml'), 'utf8'), readFile(path, 'utf8')]);
  const [from, to] = [old.indexOf(begin), old.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${chart}/README.md has no place for the table of values`);
  const table = valuesTable(documentedValues(yaml, parse(yaml)));
  return { path, old, text: `${old.slice(0, from)}${begin}\n${table}\n${old.slice(to)}` };
}

async function main(check: boolean): Promise<number> {
  let stale = 0;
  for (const chart of charts) {
    const { path, old, text } = await currentReadme(chart);
    if (old === text) continue;
    stale += 1;
    if (check)
      process.stderr.write(
        `charts/${chart}/README.md does not fit its values.yaml; run \`npm run generate\` and commit it\n`,
      );
    else await writeFile(path, text);
  }
  return check && stale > 0 ? 1 : 0;
}

process.exitCode = await main(process.argv.includes('--check'));
