/** The compiled executable, started as the injector starts it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSidecar } from '../../../../build/sidecar.ts';
import type { ServerRef } from '#contract/lease.ts';
import { podToken, serverRef } from './broker-double.ts';

export const executable = 'dist/sidecar/amd64/mcp-proxy';

/** The shell becomes the sidecar, so that it is process 1; what it leaves behind runs the hook when a line comes. */
const hook = `exec 3<&0; (read line <&3; "$0" --drain; echo "preStop exit $?") &`;
const containedCommand = [
  'unshare',
  '--user',
  '--pid',
  '--fork',
  '--kill-child',
  'sh',
  '-c',
  `${hook} exec "$0" "$@"`,
  executable,
];

export interface SidecarOptions {
  /** A `BrokerDouble`, or a real broker with the pod that it knows. */
  readonly broker: {
    readonly url: string;
    readonly ca: string;
    readonly pod?: { readonly server: ServerRef; readonly token: string };
  };
  readonly upstreamPort: number;
  /** Of the MCP endpoint, here and there; `/mcp` when absent. */
  readonly path?: string;
  readonly flags?: readonly string[] | ((port: number) => readonly string[]);
  /** Instead of the flags of a sidecar: mode and servers. */
  readonly serving?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Another build of it than `executable`. */
  readonly program?: string;
  /** Do not wait until it is ready. */
  readonly early?: boolean;
  /** As the first process of its own PID namespace, as in a container. */
  readonly contained?: boolean;
  /** Most files that it may have open. */
  readonly openFilesMax?: number;
}

interface Place {
  readonly ports: readonly [ingress: number, health: number, metrics: number];
  readonly path: string;
  readonly directory: string;
}

export class SidecarProcess {
  readonly process: ChildProcess;
  readonly port: number;
  readonly url: string;
  readonly health: string;
  readonly metricsUrl: string;
  readonly directory: string;
  output = '';

  private constructor(child: ChildProcess, at: Place) {
    this.process = child;
    this.port = at.ports[0];
    this.url = `http://127.0.0.1:${at.ports[0]}${at.path}`;
    this.health = `http://127.0.0.1:${at.ports[1]}`;
    this.metricsUrl = `http://127.0.0.1:${at.ports[2]}/metrics`;
    this.directory = at.directory;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    }
  }

  static async start({
    broker,
    upstreamPort,
    path = '/mcp',
    serving,
    flags = [],
    env = {},
    program = executable,
    early,
    contained,
    openFilesMax,
  }: SidecarOptions): Promise<SidecarProcess> {
    const directory = await mkdtemp(join(tmpdir(), 'sidecar-'));
    await writeFile(join(directory, 'ca.crt'), broker.ca);
    const { server, token } = broker.pod ?? { server: serverRef, token: podToken };
    await writeFile(join(directory, 'token'), token);
    const ports = [await freePort(), await freePort(), await freePort()] as const;
    const limited = openFilesMax === undefined ? [] : ['prlimit', `--nofile=${openFilesMax}`];
    const [command, ...before] = [...limited, ...(contained === true ? containedCommand : [program])];
    const child = spawn(
      command!,
      [
        ...before,
        ...(serving ?? [
          `--server=${server.namespace}/${server.name}`,
          `--upstream=http://127.0.0.1:${upstreamPort}`,
          `--path=${path}`,
        ]),
        `--broker=${broker.url}`,
        `--ca=${join(directory, 'ca.crt')}`,
        `--token=${join(directory, 'token')}`,
        `--listen=${ports[0]}`,
        `--health=${ports[1]}`,
        `--metrics=${ports[2]}`,
        ...(typeof flags === 'function' ? flags(ports[0]) : flags),
      ],
      {
        env: { BUN_CONFIG_MAX_HTTP_REQUESTS: '16384', PATH: process.env['PATH'], ...env },
        stdio: ['pipe', 'pipe', 'pipe'],
      },
    );
    const sidecar = new SidecarProcess(child, { ports, path, directory });
    await sidecar.#waitFor(early === true ? '/livez' : '/readyz');
    return sidecar;
  }

  /** The preStop hook: a second start in the same container. Once, and only where it is contained. */
  async runPreStop(): Promise<string> {
    this.process.stdin?.end('go\n');
    for (;;) {
      const exit = /^preStop exit (\d+)$/m.exec(this.output);
      if (exit !== null) return exit[1]!;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async metrics(): Promise<string> {
    return (await fetch(this.metricsUrl)).text();
  }

  /** Resident memory, bytes. */
  async residentBytes(): Promise<number> {
    const status = await readFile(`/proc/${this.process.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1_024;
  }

  /** SIGTERM; resolves the exit code. */
  async stop(): Promise<number | null> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return this.process.exitCode;
    this.process.kill('SIGTERM');
    await once(this.process, 'exit');
    return this.process.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      this.process.kill('SIGKILL');
      await once(this.process, 'exit');
    }
    await rm(this.directory, { recursive: true, force: true });
  }

  async #waitFor(path: string): Promise<void> {
    for (let attempt = 0; attempt < 200; attempt += 1) {
      if (this.process.exitCode !== null) break;
      const response = await fetch(`${this.health}${path}`).catch(() => undefined);
      await response?.text();
      if (response?.status === 200) return;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    throw new Error(`the sidecar did not answer ${path}:\n${this.output}`);
  }
}

/** Builds the executable once a run. */
export async function buildOnce(): Promise<void> {
  if (process.env['SIDECAR_PREBUILT'] === '1' && existsSync(executable)) return;
  await buildSidecar('amd64');
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
