/** The programs that are compared, each on one processor with one worker, all at the same time before the same upstream. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { BrokerDouble, granted, policy } from '#test/integration/sidecar/support/broker-double.ts';
import { SidecarProcess } from '#test/integration/sidecar/support/sidecar-process.ts';
import { loadProcessor, proxyProcessor, type Speech, tokenOf, usersMax } from './load.ts';
import { installPeers } from './peers.ts';
import { commands, keyOf, ports } from './programs.ts';

export interface Target {
  readonly name: string;
  readonly speech: Speech;
  /** The processes whose memory and time are counted. */
  readonly pids: readonly number[];
  /** Ends MCP itself and begins it anew: no stream of the upstream passes, and large messages and many users mean something else. */
  readonly endsMcp: boolean;
}

export interface Usage {
  readonly cpuMs: number;
  readonly rssBytes: number;
  readonly anonymousBytes: number;
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
    targets.push(target(program.name, program.port, { ...program, session, pids: await family(child.pid!) }));
  }
  const broker = await startBroker(usersMax);
  const sidecar = await SidecarProcess.start({ broker, upstreamPort: ports.upstream });
  await pinTo(sidecar.process.pid!, proxyProcessor);
  targets.push(target('sidecar, everything on', sidecar.port, { pids: [sidecar.process.pid!] }));
  return {
    targets,
    async stop() {
      await sidecar[Symbol.asyncDispose]();
      await broker[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
      for (const child of children) await end(child);
    },
  };
}

/** The MCP server behind all proxies, on the processor of the load. */
export async function startUpstream(): Promise<AsyncDisposable & { readonly port: number }> {
  const port = ports.upstream;
  const child = pinned(loadProcessor, [bun, 'test/bench/sidecar/upstream.ts', String(port)]);
  await listening(port);
  return { port, [Symbol.asyncDispose]: () => end(child) };
}

/** A policy on tools, and a lease for each of `users`: what the sidecar of a real server has. */
export async function startBroker(users: number): Promise<BrokerDouble> {
  const broker = await BrokerDouble.start();
  broker.policy = { ...policy, tools: [{ allow: ['search', 'read_*', 'list_*'], deny: ['*_delete'] }] };
  for (let user = 0; user < users; user += 1) broker.setLease(tokenOf(user), granted(`user-${user}`, keyOf(user)));
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
    endsMcp = false,
  }: {
    readonly pids: readonly number[];
    readonly path?: string;
    readonly tool?: string;
    readonly session?: Readonly<Record<string, string>>;
    readonly endsMcp?: boolean;
  },
): Target {
  return { name, speech: { url: `http://127.0.0.1:${port}${path}`, tool, session }, pids, endsMcp };
}

/** Headers that every further request has to carry. */
async function beginSession(url: string): Promise<Readonly<Record<string, string>>> {
  const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
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
  for (const pid of pids) {
    const stat = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ');
    cpuMs += (Number(stat[11]) + Number(stat[12])) * 10;
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    rssBytes += Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1_024;
    anonymousBytes += Number(/RssAnon:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1_024;
  }
  return { cpuMs, rssBytes, anonymousBytes };
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
