import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { type ConnectionSource, kubeconfigConnection } from '#operator/kube/connection.ts';

const repository = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const lab = join(repository, 'test/lab/lab');

/** A real etcd and kube-apiserver on 127.0.0.1, without nodes and controllers: nothing is garbage-collected. */
export interface ControlPlane extends AsyncDisposable {
  readonly kubeconfig: string;
  /** The administrator, for `createTransport`. */
  readonly source: ConnectionSource;
  /** Runs kubectl as the administrator and resolves its output; rejects with what it said. */
  kubectl(args: readonly string[], input?: string): Promise<string>;
  /** Applies the CRDs of the repository and waits until they are served. */
  installCrds(): Promise<void>;
  stopApiServer(): Promise<void>;
  startApiServer(): Promise<void>;
  restartApiServer(): Promise<void>;
  /** Runs controllers of the cluster beside it, by the names of kube-controller-manager, until the whole is disposed. */
  startControllers(names: readonly string[]): void;
  /** Ends the API server in the middle of whatever it does. `startApiServer` brings it back. */
  killApiServer(): Promise<void>;
}

export interface ControlPlaneOptions {
  /** Keep the admission plugin that gives pods their ServiceAccount and its token; accounts must then be made by the test. */
  readonly serviceAccounts?: boolean;
}

/** Takes about six seconds. Use `await using`. */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const folder = await mkdtemp(join(tmpdir(), 'mcp-keyring-control-plane-'));
  const environment = options.serviceAccounts === true ? { LAB_SERVICE_ACCOUNTS: '1' } : {};
  const command = (action: string, ...more: readonly string[]): Promise<string> =>
    run(lab, ['control-plane', action, folder, ...more], { environment });
  await command('up', String(await freePortTriple()));
  const kubeconfig = join(folder, 'kubeconfig');
  const kubectlPath = join(await binaries(), 'kubectl');
  const kubectl = (args: readonly string[], input?: string): Promise<string> =>
    run(kubectlPath, ['--kubeconfig', kubeconfig, ...args], input === undefined ? {} : { input });
  const controllers: ChildProcess[] = [];
  const managerPath = join(await binaries(), 'kube-controller-manager');
  return {
    kubeconfig,
    startControllers: (names) => {
      const flags = [`--kubeconfig=${kubeconfig}`, `--controllers=${names.join(',')}`];
      const rest = ['--leader-elect=false', '--secure-port=0'];
      controllers.push(spawn(managerPath, [...flags, ...rest], { stdio: 'ignore' }));
    },
    source: kubeconfigConnection(kubeconfig),
    kubectl,
    installCrds: () => installCrds(kubectl),
    stopApiServer: async () => void (await command('stop-apiserver')),
    startApiServer: async () => void (await command('start-apiserver')),
    restartApiServer: async () => void (await command('restart-apiserver')),
    killApiServer: () => kill(join(folder, 'run/apiserver.pid')),
    [Symbol.asyncDispose]: async () => {
      for (const child of controllers) child.kill('SIGKILL');
      await command('down');
    },
  };
}

async function installCrds(kubectl: ControlPlane['kubectl']): Promise<void> {
  const files = (await readdir(join(repository, 'crds'))).filter((file) => file.endsWith('.yaml'));
  const flags = files.flatMap((file) => ['-f', join(repository, 'crds', file)]);
  await kubectl(['apply', '--server-side', ...flags]);
  await kubectl(['wait', '--for=condition=Established', '--timeout=30s', ...flags]);
}

async function kill(pidFile: string): Promise<void> {
  const pid = Number.parseInt(await readFile(pidFile, 'utf8'), 10);
  process.kill(pid, 'SIGKILL');
  while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 20));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function binaries(): Promise<string> {
  const versions = await readFile(join(repository, 'test/lab/versions.env'), 'utf8');
  const version = /^LAB_KUBERNETES_VERSION=(\S+)$/m.exec(versions)?.[1];
  if (version === undefined) throw new Error('test/lab/versions.env names no Kubernetes version');
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  return join(cache, 'mcp-keyring/lab', version, 'bin');
}

/** Three ports in a row that nobody listens on, below the range that the kernel hands out to clients. */
async function freePortTriple(): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const first = 20_000 + Math.floor(Math.random() * 10_000);
    const free = await Promise.all([first, first + 1, first + 2].map(isFree));
    if (free.every(Boolean)) return first;
  }
  throw new Error('no three free ports in a row');
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}

interface RunOptions {
  readonly input?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

async function run(command: string, args: readonly string[], options: RunOptions): Promise<string> {
  const env = { ...process.env, ...options.environment };
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], env });
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout.on('data', (piece: Buffer) => output.push(piece));
  child.stderr.on('data', (piece: Buffer) => errors.push(piece));
  child.stdin.end(options.input ?? '');
  // Not "close": what the lab starts in the background inherits the pipes and keeps them open.
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code === 0) return Buffer.concat(output).toString('utf8');
  throw new Error(`${command} ${args.join(' ')} ended with ${code}: ${Buffer.concat(errors).toString('utf8')}`);
}
