/** The programs that are compared, each with one worker on one processor. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { BrokerDouble, granted } from '#test/integration/sidecar/support/broker-double.ts';
import { SidecarProcess } from '#test/integration/sidecar/support/sidecar-process.ts';
import { loadProcessor, proxyProcessor, token } from './sidecar-load.ts';

export interface Target {
  readonly name: string;
  readonly port: number;
  /** The processes whose memory and time are counted. */
  readonly pids: readonly number[];
}

const ports = { upstream: 19_200, nginx: 19_201, haproxy: 19_202 };
const key = 'key-of-alice';

export async function startTargets(directory: string): Promise<{ targets: readonly Target[]; stop(): Promise<void> }> {
  const upstream = await startNginx(directory, 'upstream', { config: upstreamConfig(), processor: loadProcessor });
  const nginx = await startNginx(directory, 'nginx', { config: nginxProxyConfig(), processor: proxyProcessor });
  const haproxy = await startHaproxy(directory);
  await Promise.all(Object.values(ports).map(listening));
  const broker = await BrokerDouble.start();
  broker.setLease(token, granted('alice', key));
  const sidecar = await SidecarProcess.start({ broker, upstreamPort: ports.upstream });
  await pin(sidecar.process.pid!, proxyProcessor);
  return {
    targets: [
      { name: 'direct', port: ports.upstream, pids: [] },
      { name: 'nginx, static map', port: ports.nginx, pids: await family(nginx.pid!) },
      { name: 'HAProxy, static map', port: ports.haproxy, pids: await family(haproxy.pid!) },
      { name: 'mcp-proxy, everything on', port: sidecar.port, pids: [sidecar.process.pid!] },
    ],
    async stop() {
      await sidecar[Symbol.asyncDispose]();
      await broker[Symbol.asyncDispose]();
      for (const child of [upstream, nginx, haproxy]) {
        child.kill('SIGTERM');
        await once(child, 'exit');
      }
    },
  };
}

/** Processor time so far and resident memory, of all of `pids`. */
export async function usage(pids: readonly number[]): Promise<{ readonly cpuMs: number; readonly rssBytes: number }> {
  let cpuMs = 0;
  let rssBytes = 0;
  for (const pid of pids) {
    const stat = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ');
    cpuMs += (Number(stat[11]) + Number(stat[12])) * 10;
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    rssBytes += Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1_024;
  }
  return { cpuMs, rssBytes };
}

async function startNginx(
  directory: string,
  name: string,
  options: { readonly config: string; readonly processor: string },
): Promise<ChildProcess> {
  const file = join(directory, `${name}.conf`);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${directory}/${name}-${kind};`)
    .join(' ');
  await writeFile(
    file,
    `worker_processes 1; daemon off; pid ${directory}/${name}.pid; error_log /dev/null; events { worker_connections 4096; }
     http { access_log off; keepalive_requests 100000000; ${temporary} ${options.config} }`,
  );
  return pinned(options.processor, ['nginx', '-c', file]);
}

function upstreamConfig(): string {
  const result = { content: [{ type: 'text', text: 'x'.repeat(940) }] };
  const answer = JSON.stringify({ jsonrpc: '2.0', id: 1, result });
  return `server { listen 127.0.0.1:${ports.upstream}; location / { default_type application/json; return 200 '${answer}'; } }`;
}

function nginxProxyConfig(): string {
  return `map_hash_bucket_size 256; map $http_authorization $key { default ""; "Bearer ${token}" "${key}"; }
    upstream server { server 127.0.0.1:${ports.upstream}; keepalive 64; keepalive_requests 100000000; }
    server { listen 127.0.0.1:${ports.nginx};
      location / { proxy_pass http://server; proxy_http_version 1.1; proxy_buffering off; proxy_set_header Connection "";
        proxy_set_header Authorization ""; proxy_set_header X-Api-Key $key; } }`;
}

async function startHaproxy(directory: string): Promise<ChildProcess> {
  const map = join(directory, 'keys.map');
  const file = join(directory, 'haproxy.cfg');
  await writeFile(map, `${token} ${key}\n`);
  await writeFile(
    file,
    `global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend in
  bind 127.0.0.1:${ports.haproxy}
  http-request set-header X-Api-Key %[req.hdr(authorization),word(2,' '),map(${map})]
  http-request del-header Authorization
  default_backend server
backend server
  server s1 127.0.0.1:${ports.upstream}
`,
  );
  return pinned(proxyProcessor, ['haproxy', '-f', file, '-db', '-q']);
}

function pinned(processor: string, command: readonly string[]): ChildProcess {
  const child = spawn('taskset', ['-c', processor, ...command], { stdio: 'ignore' });
  process.on('exit', () => child.kill('SIGTERM'));
  return child;
}

/** All threads of a process that runs already. */
async function pin(pid: number, processor: string): Promise<void> {
  await once(spawn('taskset', ['-a', '-p', '-c', processor, String(pid)], { stdio: 'ignore' }), 'exit');
}

/** A process and its children: taskset becomes the program, nginx has a worker. */
async function family(pid: number): Promise<readonly number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  const threads = await readdir(`/proc/${pid}/task`);
  return [pid, ...(threads.length > 0 ? children.split(' ').filter(Boolean).map(Number) : [])];
}

async function listening(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
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
