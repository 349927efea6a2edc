/** The proxy: the only file here that knows arguments, signals, clock and standard output. */
import { dlopen, FFIType } from 'bun:ffi';
import { lookup } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import type { ServerRef } from './contract/lease.ts';
import { Destination } from './destinations/destination.ts';
import { assembleGateway } from './gateway/gateway.ts';
import type { RemoteUpstream } from './gateway/remote.ts';
import { answerHealth, answerMetrics } from './health.ts';
import { BrokerClient } from './leases/broker-client.ts';
import { FileSource } from './leases/file-source.ts';
import { ladderLimits } from './ladder/limits.ts';
import { HoldingPlaces } from './ladder/places.ts';
import { type Options, parseOptions, type Serving } from './options.ts';
import { Backlog } from './http1/backlog.ts';
import { BodyBudget } from './proxy/body-budget.ts';
import { type Bounds, boundsInForce } from './proxy/bounds-in-force.ts';
import { connectionLimits } from './proxy/connection-places.ts';
import { Drain } from './proxy/drain.ts';
import type { Handler, IncomingRequest } from './proxy/exchange.ts';
import type { Upstream } from './proxy/layers/forward.ts';
import type { ForwardProxy } from './proxy/forward-proxy.ts';
import { createRelay, createRemoteUpstream, directRoute, proxiedRoute, type Route } from './proxy/outside-upstreams.ts';
import { Belongings } from './proxy/ownership.ts';
import { Pulse } from './proxy/pulse.ts';
import { serveEndpoints, serveIngress } from './proxy/server.ts';
import { ingress } from './proxy/stack.ts';
import { createBrokerFetch, createUpstream } from './proxy/upstream.ts';
import { UserShares } from './proxy/user-shares.ts';
import { idleCheckMs, IdleMemory } from './idle-memory.ts';
import { createLog, errorFields } from './telemetry/log.ts';
import type { SidecarMetrics } from './telemetry/sidecar-metrics.ts';
import { assemble } from './sidecar.ts';

const log = createLog(
  (line) => process.stdout.write(line),
  () => new Date(),
);

/** Projected tokens live an hour and are renewed by the kubelet; a CA change must be seen while the old one still works. */
const tokenAgeMsMax = 60_000;
const caAgeMsMax = 10_000;
const fileBytesMax = 1_048_576;
/** Most bytes of bodies in memory: a quarter of the container's memory limit. */
const bodiesBytesMax = 33_554_432;
/** Of one user: half of it. */
const userBodiesBytesMax = 16_777_216;
/** Most bytes that wait in memory for slow clients, behind what the kernel holds: an eighth of the memory limit. Of one of them: half. */
const backlogLimits = { bytesMax: 16_777_216, accountBytesMax: 8_388_608 };
/** Requests and streams of one user that are under way; the audit log has places for 10 000 of all. */
const userRequestsMax = 2_000;
const bodyMsMax = 30_000;
/** Slower than a bad mobile connection (3 KiB/s); a body up to this size has one window to arrive. */
const windowBytesMin = 16_384;
const windowMs = 5_000;
const flushMsMax = 3_000;

/** Only who may run something in this container can send it, unlike a request. Bun keeps SIGUSR1 for its debugger. */
const drainSignal = 'SIGUSR2';
/** The sidecar is the first process of its container, whose processes no other container sees. */
const sidecarPid = 1;

function tellSidecarToDrain(): void {
  try {
    process.kill(sidecarPid, drainSignal);
  } catch (error) {
    process.stderr.write(`error: the sidecar could not be told to drain: ${String(error)}\n`);
    process.exitCode = 1;
  }
}

/** A limit of 0 is none. */
function orNone(limit: number): number | undefined {
  return limit === 0 ? undefined : limit;
}

function nowMs(): number {
  return performance.now();
}

function main(): void {
  const parsed = parseOptions(process.argv.slice(2));
  switch (parsed.kind) {
    case 'help':
      process.stdout.write(parsed.text);
      return;
    case 'invalid':
      for (const problem of parsed.problems) process.stderr.write(`error: ${problem}\n`);
      process.exitCode = 2;
      return;
    case 'drain':
      tellSidecarToDrain();
      return;
    case 'options':
      forbidMemoryDumps();
      start(parsed.options);
  }
}

function start(options: Options): void {
  warnOfFewConnections();
  const drain = new Drain();
  const backlog = new Backlog(backlogLimits);
  const proxy = createProxy(options, { drain, backlog });
  const servers = listen(options, proxy, { drain, backlog });
  proxy.start();
  log('info', 'serving', { mode: options.serving.mode, port: servers.ingress.port });
  process.on(drainSignal, () => drain.begin());
  giveMemoryBackWhenIdle();
  onceStopped(() => void end({ options, proxy, drain, servers }));
}

/** What answers requests, in whichever mode. */
interface Proxy {
  readonly handler: Handler<IncomingRequest>;
  readonly metrics: Pick<SidecarMetrics, 'expose' | 'unreadable' | 'connectionCut'>;
  readonly notReady: () => readonly string[];
  readonly start: () => void;
  readonly stop: (flushMsMax: number) => Promise<number>;
}

/** What server and layers share. */
interface Shared {
  readonly drain: Drain;
  readonly backlog: Backlog;
}

function createProxy(options: Options, { drain, backlog }: Shared): Proxy {
  const { serving, connectMsMax, bodyBytesMax } = options;
  const most: Bounds = { connectMsMax, bodyBytesMax, answerMsMax: orNone(options.answerMsMax) };
  const common = {
    pace: { bodyMsMax, windowBytesMin, windowMs },
    bodies: new BodyBudget(bodiesBytesMax, userBodiesBytesMax),
    userPlaces: new UserShares(userRequestsMax),
    drain,
    pulse: new Pulse(),
    belongings: new Belongings(serving.mode === 'gateway' ? 'part' : 'all'),
    held: new HoldingPlaces(ladderLimits),
    reportUnexpected,
  };
  const surroundings = { broker: createBroker(options), nowMs, log, process: processReadings };
  const allowed = { hosts: options.allowedHosts, origins: options.allowedOrigins, ownHosts: ownHosts(serving) };
  const many = {
    ...surroundings,
    ...common,
    most,
    createRemote: remoteFactory(backlog, serving),
    createRelay: (bounds: () => Bounds) => createRelay(bounds, { backlog, nowMs }),
    notReady: () => [],
  };
  switch (serving.mode) {
    case 'sidecar': {
      const { server, path, upstream } = serving;
      const sidecar = assemble({ ...surroundings, server });
      const bounds = boundsInForce(sidecar.policy, most);
      const handler = ingress({
        ...sidecar,
        ...common,
        server,
        endpoint: { path, prefix: '' },
        allowed,
        bounds,
        upstream: createUpstream({ origin: upstream, waits: bounds, backlog, nowMs }),
        clock: { nowMs },
      });
      return { ...sidecar, handler };
    }
    case 'gateway':
      return { ...many, ...assembleGateway({ ...many, allowed, externalUrl: serving.externalUrl }) };
    case 'egress':
      return {
        ...many,
        ...assembleGateway({ ...many, allowed: ownPod, servers: serving.servers, externalUrl: undefined }),
      };
  }
}

/** Under other names nobody in the pod asks; a web page could (DNS rebinding). */
const ownPod = { hosts: ['127.0.0.1', 'localhost'], origins: [], ownHosts: [] };

/** No web page can make the name that a gateway has for its clients lead elsewhere. */
function ownHosts(serving: Serving): readonly string[] {
  return serving.mode === 'gateway' && serving.externalUrl !== undefined ? [new URL(serving.externalUrl).hostname] : [];
}

function createBroker({ broker, caFile, tokenFile }: Options): BrokerClient {
  const fetchBroker = createBrokerFetch({ origin: broker, ca: file(caFile, caAgeMsMax) });
  return new BrokerClient(fetchBroker, file(tokenFile, tokenAgeMsMax));
}

function file(path: string, ageMsMax: number): FileSource {
  return new FileSource({ path, ageMsMax, bytesMax: fileBytesMax, nowMs });
}

function remoteFactory(backlog: Backlog, serving: Serving) {
  const proxy = forwardProxyOf(serving);
  return (server: ServerRef, remote: RemoteUpstream, bounds: () => Bounds): Upstream => {
    const named = { server: `${server.namespace}/${server.name}` };
    const failed = (error: unknown): void =>
      log('warn', 'a remote server does not answer', { ...named, ...errorFields(error) });
    const route = proxy === undefined ? directly(remote, named) : proxiedRoute(proxy, remote);
    return createRemoteUpstream(remote, { route, waits: bounds, backlog, nowMs, failed });
  };
}

function forwardProxyOf(serving: Serving): ForwardProxy | undefined {
  if (serving.mode === 'sidecar' || serving.forwardProxy === undefined) return undefined;
  const { url, credentialsFile } = serving.forwardProxy;
  const { hostname, port } = new URL(url);
  return {
    hostname,
    port: Number(port === '' ? 80 : port),
    credentials: credentialsFile === undefined ? undefined : file(credentialsFile, tokenAgeMsMax),
  };
}

function directly(remote: RemoteUpstream, named: { readonly server: string }): Route {
  const declared = new URL(remote.url);
  const destination = new Destination({
    hostname: declared.hostname,
    allowPrivateAddresses: remote.allowPrivateAddresses,
    lookup: lookupAll,
    nowMs,
    refused: (address) =>
      log('warn', 'a server is declared at an address that keys are not sent to', { ...named, address }),
  });
  return directRoute(destination, declared);
}

function reportUnexpected(error: unknown): void {
  log('error', 'a request failed in a way nobody thought of', errorFields(error));
}

async function lookupAll(hostname: string): Promise<readonly string[]> {
  return (await lookup(hostname, { all: true })).map(({ address }) => address);
}

type Servers = ReturnType<typeof listen>;

function listen({ address, ports, serving }: Options, proxy: Proxy, { drain, backlog }: Shared) {
  const notReady = (): readonly string[] => [...proxy.notReady(), ...(drain.begun ? ['draining'] : [])];
  const { handler, metrics: observer } = proxy;
  const limits = connectionLimits(openFilesMax());
  const clients = serving.mode === 'egress' ? '127.0.0.1' : address;
  return {
    ingress: at(ports.ingress, (port) =>
      serveIngress({ address: clients, port, handler, drain, backlog, nowMs, limits, observer, reportUnexpected }),
    ),
    health: at(ports.health, (port) =>
      serveEndpoints({ address, port, answer: (path) => answerHealth({ notReady }, path) }),
    ),
    metrics: at(ports.metrics, (port) =>
      serveEndpoints({ address, port, answer: (path) => answerMetrics(() => observer.expose(), path) }),
    ),
  };
}

/** Beside somebody who listens at one of its ports the proxy does not run. */
function at<Server>(port: number, serve: (port: number) => Server): Server {
  try {
    return serve(port);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')) throw error;
    log('error', `port ${port} is taken by another container of the pod`);
    process.exit(1);
  }
}

interface Ending {
  readonly options: Options;
  readonly proxy: Proxy;
  readonly drain: Drain;
  readonly servers: Servers;
}

/** Nothing new, let requests under way finish, hand over what is still to be recorded, go. */
async function end({ options, proxy, drain, servers }: Ending): Promise<void> {
  drain.begin();
  drain.stop();
  const finished = await within(options.drainSeconds * 1_000, servers.ingress.stop());
  if (!finished) {
    log('warn', 'requests under way did not finish in time');
    await within(flushMsMax, servers.ingress.close());
  }
  const lost = await proxy.stop(flushMsMax);
  if (lost > 0) log('error', 'audit events could not be sent', { lost });
  log('info', 'stopped', { lost });
  process.exit(0);
}

async function within(msMax: number, work: Promise<void>): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), msMax);
  });
  const finished = await Promise.race([work.then(() => true), late]);
  clearTimeout(timer);
  return finished;
}

function onceStopped(stop: () => void): void {
  let stopping = false;
  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.on(signal, () => {
      if (!stopping) stop();
      stopping = true;
    });
  }
}

const processReadings = {
  residentBytes: (): number => process.memoryUsage.rss(),
  cpuSeconds: (): number => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  },
};

function giveMemoryBackWhenIdle(): void {
  const memory = new IdleMemory({ cpuSeconds: processReadings.cpuSeconds, collect: () => Bun.gc(true) });
  setInterval(() => memory.tick(), idleCheckMs).unref();
}

const prSetDumpable = 4;
const rlimitCore = 4;

/** No core file, and no other process of this user reads our memory: it holds keys. */
function forbidMemoryDumps(): void {
  try {
    const { symbols } = dlopen('libc.so.6', {
      prctl: { args: [FFIType.i32, FFIType.u64, FFIType.u64, FFIType.u64, FFIType.u64], returns: FFIType.i32 },
      setrlimit: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
    });
    const dumpable = symbols.prctl(prSetDumpable, 0n, 0n, 0n, 0n);
    const limited = symbols.setrlimit(rlimitCore, new BigUint64Array([0n, 0n]));
    if (dumpable !== 0 || limited !== 0) log('warn', 'memory dumps could not be forbidden');
  } catch (error) {
    log('warn', 'memory dumps could not be forbidden', errorFields(error));
  }
}

/** The runtime has raised it to what the container may have. */
function openFilesMax(): number {
  return Number(/^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1] ?? 1_024);
}

/** Bun reads this before any of our code runs, so it can only be set from outside; the image does. */
function warnOfFewConnections(): void {
  if (process.env['BUN_CONFIG_MAX_HTTP_REQUESTS'] !== undefined) return;
  log('warn', 'BUN_CONFIG_MAX_HTTP_REQUESTS is not set: at most 256 calls to the broker at a time');
}

main();
