import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

import { parseAllDocuments } from 'yaml';

export const repository = resolve(import.meta.dirname, '../../..');
const outputBytesMax = 16 * 1024 * 1024;

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly annotations?: Record<string, string>;
  };
  readonly [field: string]: unknown;
}

/** Helm 4 of the lab, or Helm 3. */
export async function helm(args: readonly string[], program: 'helm' | 'helm3' = 'helm'): Promise<string> {
  const { stdout } = await promisify(execFile)(join(binaries(), program), args, {
    cwd: repository,
    maxBuffer: outputBytesMax,
  });
  return stdout;
}

/** What `helm template` makes of the chart mcp-keyring with the release's usual names. */
export async function renderText(args: readonly string[] = [], program: 'helm' | 'helm3' = 'helm'): Promise<string> {
  const command = ['template', 'mcp-keyring', 'charts/mcp-keyring', '--namespace', 'mcp-keyring'];
  return helm([...command, '--kube-version', kubernetesVersion(), ...args], program);
}

export async function render(args: readonly string[] = []): Promise<readonly Manifest[]> {
  return manifestsIn(await renderText(args));
}

export function manifestsIn(text: string): readonly Manifest[] {
  return parseAllDocuments(text)
    .map((document) => document.toJS() as Manifest | null)
    .filter((manifest) => manifest !== null);
}

function binaries(): string {
  return join(
    process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'),
    'mcp-keyring/lab',
    kubernetesVersion(),
    'bin',
  );
}

function kubernetesVersion(): string {
  const versions = readFileSync(join(repository, 'test/lab/versions.env'), 'utf8');
  const version = /^LAB_KUBERNETES_VERSION=(\S+)$/mu.exec(versions)?.[1];
  if (version === undefined) throw new Error('test/lab/versions.env names no Kubernetes version');
  return version;
}
