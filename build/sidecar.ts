import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

export type Arch = 'amd64' | 'arm64';

/** npm package and compile target of Bun for each architecture. The version is the one that package.json pins. */
const bunOf = {
  amd64: { package: '@oven/bun-linux-x64', target: 'bun-linux-x64' },
  arm64: { package: '@oven/bun-linux-aarch64', target: 'bun-linux-arm64' },
} as const;

const compiler = 'node_modules/@oven/bun-linux-x64/bin/bun';

/** Compiles the sidecar into one executable, `dist/sidecar/<arch>/mcp-proxy`. */
export async function buildSidecar(arch: Arch): Promise<void> {
  const outfile = `dist/sidecar/${arch}/mcp-proxy`;
  await mkdir(`dist/sidecar/${arch}`, { recursive: true });
  await run(compiler, [
    'build',
    '--compile',
    '--minify',
    '--bytecode',
    // Collects garbage earlier: a few MiB less in every pod at the same processor time.
    '--compile-exec-argv=--smol',
    // Nothing that lies beside the executable may change what it does.
    '--no-compile-autoload-dotenv',
    '--no-compile-autoload-bunfig',
    `--target=${bunOf[arch].target}`,
    `--compile-executable-path=${await bunExecutable(arch)}`,
    `--outfile=${outfile}`,
    'sidecar/main.ts',
  ]);
}

/** The runtime that is put into the executable. npm installs only that of this machine; the other is unpacked once. */
async function bunExecutable(arch: Arch): Promise<string> {
  if (arch === 'amd64') return compiler;
  const directory = `dist/bun/${arch}`;
  const executable = `${directory}/package/bin/bun`;
  if (existsSync(executable)) return executable;
  await mkdir(directory, { recursive: true });
  const { stdout: version } = await run(compiler, ['--version']);
  const { stdout } = await run('npm', [
    'pack',
    `${bunOf[arch].package}@${version.trim()}`,
    '--pack-destination',
    directory,
  ]);
  await run('tar', ['-xzf', `${directory}/${stdout.trim()}`, '-C', directory]);
  return executable;
}
