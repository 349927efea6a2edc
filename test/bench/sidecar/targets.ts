/** The programs that are compared, each on one processor with one worker, all at the same time before the same upstream. */
import { type ChildProcess, spawn } from 'node:child_process';
import { hash } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import type { LeaseResponse } from '#contract/lease.ts';
import type { LimitRules } from '#contract/quota.ts';
import type { PolicySnapshot } from '#contract/watch.ts';
import { BrokerDouble, granted, policy } from '#test/integration/sidecar/support/broker-double.ts';
import { SidecarProcess } from '#test/integration/sidecar/support/sidecar-process.ts';
import { makeTestCertificate, type TestCertificate } from '#test/support/test-certificates.ts';
import { loadProcessor, proxyProcessor, type Speech, tokenOf, usersMax } from './load.ts';
import { installPeers } from './peers.ts';
import { commands, keyOf, ports } from './programs.ts';

export interface Target {
  readonly name: string;
  readonly speech: Speech;
  /** The processes whose memory and time are counted. */
  readonly pids: readonly number[];
  /** Whether sizes, users and streams are measured as well. */
  readonly isWhole: boolean;
}

export interface Usage {
  readonly cpuMs: number;
  readonly rssBytes: number;
  readonly anonymousBytes: number;
  /** Most resident memory since `forgetPeak`. */
  readonly peakBytes: number;
}

export interface Running {
  readonly targets: readonly Target[];
  stop(): Promise<void>;
}

const bun = 'node_modules/@oven/bun-linux-x64/bin/bun';

export async function startTargets(directory: string): Promise<Running> {
  // Broker and load have one processor, so that the proxies have the other to themselves.
  await pinTo(process.pid, loadProcessor);
  const upstream = await startUpstream();
  const children: ChildProcess[] = [];
  const programs = await commands(directory, installPeers());
  const targets: Target[] = [target('direct', ports.upstream, { pids: [] })];
  for (const program of programs) {
    const child = pinned(proxyProcessor, program.command);
    children.push(child);
    await listening(program.port);
    const session = program.endsMcp ? await beginSession(`http://127.0.0.1:${program.port}${program.path}`) : {};
    const isWhole = !program.endsMcp;
    targets.push(target(program.name, program.port, { ...program, session, isWhole, pids: await family(child.pid!) }));
  }
  const own = await startOwn(upstream.certificate);
  return {
    targets: [...targets, ...own.targets],
    async stop() {
      await own[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
      for (const child of children) await end(child);
    },
  };
}

/** The MCP server behind all proxies, on the processor of the load. */
export async function startUpstream(): Promise<
  AsyncDisposable & { readonly port: number; readonly certificate: TestCertificate }
> {
  const certificate = await makeTestCertificate(['localhost']);
  const at = [ports.upstream, ports.upstreamTls].map(String);
  const command = [bun, 'test/bench/sidecar/upstream.ts', ...at, certificate.cert, certificate.key];
  const child = pinned(loadProcessor, command);
  await listening(ports.upstreamTls);
  return { port: ports.upstream, certificate, [Symbol.asyncDispose]: () => end(child) };
}

const limits: LimitRules = {
  onStoreFailure: 'Closed',
  rules: [
    { bucket: 'bench/Minute', per: 'Minute', max: 100_000_000 },
    { bucket: 'bench/Day/search', per: 'Day', max: 100_000_000, match: 'search' },
  ],
};

/** The sidecar as it runs beside a server, with what makes it dearer, and the same executable as gateway. */
async function startOwn(certificate: TestCertificate): Promise<AsyncDisposable & { readonly targets: Target[] }> {
  await using started = new AsyncDisposableStack();
  const begin = async (more: Partial<PolicySnapshot>, serving?: readonly string[]): Promise<SidecarProcess> => {
    const broker = started.use(await startBroker(usersMax, more));
    if (more.upstream !== undefined) broker.others.set('bench/remote', { ...broker.policy, server: remoteServer });
    const options = { broker, upstreamPort: ports.upstream, ...(serving === undefined ? {} : { serving }) };
    const sidecar = started.use(await SidecarProcess.start(options));
    await pinTo(sidecar.process.pid!, proxyProcessor);
    return sidecar;
  };
  const pidsOf = ({ process: { pid } }: SidecarProcess) => ({ pids: [pid!] });
  const plain = await begin({});
  const limited = await begin({ limits });
  const marking = await begin({ sessionKey: 'A'.repeat(43) });
  const url = `https://localhost:${ports.upstreamTls}/mcp`;
  const upstream = { kind: 'remote', url, ca: certificate.ca, allowPrivateAddresses: true } as const;
  const gateway = await begin({ upstream }, ['--mode=gateway']);
  const session = await beginSession(marking.url, { authorization: `Bearer ${tokenOf(0)}` });
  const inGateway = { ...pidsOf(gateway), path: '/bench/remote/mcp', isWhole: false };
  const targets = [
    target('sidecar, everything on', plain.port, pidsOf(plain)),
    target('sidecar, limits as well', limited.port, pidsOf(limited)),
    target('sidecar, in a session', marking.port, { ...pidsOf(marking), session, isWhole: false }),
    target('gateway, TLS to the server', gateway.port, inGateway),
  ];
  const all = started.move();
  return { targets, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

const remoteServer = { namespace: 'bench', name: 'remote' };

/** A policy on tools, and a lease for each of `users`: what the sidecar of a real server has. */
export async function startBroker(users: number, more: Partial<PolicySnapshot> = {}): Promise<BrokerDouble> {
  const broker = await BrokerDouble.start();
  broker.policy = { ...policy, tools: [{ allow: ['search', 'read_*', 'list_*'], deny: ['*_delete'] }], ...more };
  for (let user = 0; user < users; user += 1) {
    const subjectKey = hash('sha256', String(user), 'hex');
    broker.setLease(tokenOf(user), { ...granted(`user-${user}`, keyOf(user)), subjectKey } as LeaseResponse);
  }
  // Nobody looks at them here, and there are millions.
  setInterval(() => {
    broker.events.clear();
    broker.receivedIds.length = 0;
  }, 1_000).unref();
  return broker;
}

function target(
  name: string,
  port: number,
  {
    pids,
    path = '/mcp',
    tool = 'search',
    session = {},
    isWhole = true,
  }: {
    readonly pids: readonly number[];
    readonly path?: string;
    readonly tool?: string;
    readonly session?: Readonly<Record<string, string>>;
    readonly isWhole?: boolean;
  },
): Target {
  return { name, speech: { url: `http://127.0.0.1:${port}${path}`, tool, session }, pids, isWhole };
}

/** Headers that every further request has to carry. */
async function beginSession(
  url: string,
  credentials: Readonly<Record<string, string>> = {},
): Promise<Readonly<Record<string, string>>> {
  const headers = { ...credentials, 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
  const post = async (message: object, more: Readonly<Record<string, string>>): Promise<Response> =>
    fetch(url, {
      method: 'POST',
      headers: { ...headers, ...more },
      body: JSON.stringify({ jsonrpc: '2.0', ...message }),
    });
  const protocolVersion = '2025-11-25';
  const clientInfo = { name: 'bench', version: '1.0.0' };
  const params = { protocolVersion, capabilities: {}, clientInfo };
  const response = await post({ id: 0, method: 'initialize', params }, {});
  await response.text();
  const id = response.headers.get('mcp-session-id');
  const session = { 'mcp-protocol-version': protocolVersion, ...(id === null ? {} : { 'mcp-session-id': id }) };
  await (await post({ method: 'notifications/initialized' }, session)).text();
  return session;
}

/** Processor time so far and resident memory, of all of `pids`; `anonymousBytes` of it are their own, not pages of a file. */
export async function usage(pids: readonly number[]): Promise<Usage> {
  let cpuMs = 0;
  let rssBytes = 0;
  let anonymousBytes = 0;
  let peakBytes = 0;
  for (const pid of pids) {
    const stat = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ');
    cpuMs += (Number(stat[11]) + Number(stat[12])) * 10;
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    rssBytes += Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1_024;
    peakBytes += Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1_024;
    anonymousBytes += Number(/RssAnon:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1_024;
  }
  return { cpuMs, rssBytes, anonymousBytes, peakBytes };
}

/** What was needed before, to begin with, counts no more (proc_pid_clear_refs(5)). */
export async function forgetPeak(pids: readonly number[]): Promise<void> {
  for (const pid of pids) await writeFile(`/proc/${pid}/clear_refs`, '5');
}

function pinned(processor: string, command: readonly string[]): ChildProcess {
  const child = spawn('taskset', ['-c', processor, ...command], { stdio: 'ignore' });
  process.on('exit', () => child.kill('SIGTERM'));
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 3_000);
  await exited;
  clearTimeout(timer);
}

/** All threads of a process that runs already. */
export async function pinTo(pid: number, processor: string): Promise<void> {
  await once(spawn('taskset', ['-a', '-p', '-c', processor, String(pid)], { stdio: 'ignore' }), 'exit');
}

/** A process and its children: taskset becomes the program, nginx has a worker. */
async function family(pid: number): Promise<readonly number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  const threads = await readdir(`/proc/${pid}/task`);
  return [pid, ...(threads.length > 0 ? children.split(' ').filter(Boolean).map(Number) : [])];
}

async function listening(port: number): Promise<void> {
  for (let attempt = 0; attempt < 600; attempt += 1) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true));
      socket.on('error', () => resolve(false));
      socket.on('connect', () => socket.destroy());
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`nothing listens on port ${port}`);
}
