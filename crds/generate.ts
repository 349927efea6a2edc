import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, relative, resolve } from 'node:path';
import process from 'node:process';
import { parse } from 'yaml';
import { chartTemplateOf } from './generator/chart.ts';
import type { CustomResourceDefinition } from './generator/schema.ts';
import { typesOf } from './generator/emit-types.ts';
import { version } from './v1alpha1/names.ts';

/** Definition in YAML -> module with its types. */
const modules: Readonly<Record<string, string>> = {
  'organizations.yaml': 'organization.ts',
  'mcpservers.yaml': 'mcp-server.ts',
  'userkeypolicies.yaml': 'user-key-policy.ts',
  'userkeys.yaml': 'user-key.ts',
  'accesstokens.yaml': 'access-token.ts',
  'userkeyrequests.yaml': 'user-key-request.ts',
};

const root = resolve(import.meta.dirname, '..');

/** Every generated file by its absolute path. */
async function generatedFiles(): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>();
  for (const [fileName, moduleName] of Object.entries(modules)) {
    const yaml = await readFile(resolve(root, 'crds', fileName), 'utf8');
    const crd: CustomResourceDefinition = parse(yaml);
    files.set(resolve(root, 'crds', version, 'generated', moduleName), typesOf(crd, version));
    files.set(resolve(root, 'charts/mcp-keyring-crds/templates', fileName), chartTemplateOf(yaml, fileName));
  }
  return files;
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

async function main(check: boolean): Promise<number> {
  const stale: string[] = [];
  for (const [path, text] of await generatedFiles()) {
    if ((await textOf(path)) === text) continue;
    stale.push(relative(root, path));
    if (check) continue;
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  }
  if (!check || stale.length === 0) return 0;
  process.stderr.write(
    `These files do not fit crds/*.yaml; run \`npm run generate\` and commit them:\n${stale.map((path) => `  ${path}\n`).join('')}`,
  );
  return 1;
}

process.exitCode = await main(process.argv.includes('--check'));
