/** The sidecar: the only file here that knows arguments, signals, clock and standard output. */
import { dlopen, FFIType } from 'bun:ffi';
import { answerHealth, answerMetrics } from './health.ts';
import { BrokerClient } from './leases/broker-client.ts';
import { FileSource } from './leases/file-source.ts';
import { type Options, parseOptions } from './options.ts';
import { BodyBudget } from './proxy/body-budget.ts';
import { Drain } from './proxy/drain.ts';
import { Pulse } from './proxy/pulse.ts';
import { serveEndpoints, serveIngress } from './proxy/server.ts';
import { ingress } from './proxy/stack.ts';
import { createBrokerFetch, createUpstream } from './proxy/upstream.ts';
import { createLog, errorFields } from './telemetry/log.ts';
import { assemble, type Sidecar } from './sidecar.ts';

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
  const file = (path: string, ageMsMax: number): FileSource =>
    new FileSource({ path, ageMsMax, bytesMax: fileBytesMax, nowMs });
  const fetchBroker = createBrokerFetch({ origin: options.broker, ca: file(options.caFile, caAgeMsMax) });
  const broker = new BrokerClient(fetchBroker, file(options.tokenFile, tokenAgeMsMax));
  const sidecar = assemble({ server: options.server, broker, nowMs, log, process: processReadings });
  const drain = new Drain();
  const servers = listen(options, sidecar, drain);
  sidecar.start();
  log('info', 'serving', { server: `${options.server.namespace}/${options.server.name}`, port: servers.ingress.port });
  process.on(drainSignal, () => drain.begin());
  onceStopped(() => void end({ options, sidecar, drain, servers }));
}

type Servers = ReturnType<typeof listen>;

function listen(options: Options, sidecar: Sidecar, drain: Drain) {
  const { address, ports } = options;
  const handler = ingress({
    server: options.server,
    endpoint: { path: options.path, prefix: '' },
    allowed: { hosts: options.allowedHosts, origins: options.allowedOrigins },
    limits: { bodyBytesMax: options.bodyBytesMax, bodyMsMax, windowBytesMin, windowMs },
    bodies: new BodyBudget(bodiesBytesMax),
    leases: sidecar.leases,
    policy: sidecar.policy,
    queue: sidecar.queue,
    metrics: sidecar.metrics,
    drain,
    pulse: new Pulse(),
    upstream: createUpstream({ origin: options.upstream, path: options.path }),
    clock: { nowMs },
    reportUnexpected: (error) => log('error', 'a request failed in a way nobody thought of', errorFields(error)),
  });
  const notReady = (): readonly string[] => [...sidecar.notReady(), ...(drain.begun ? ['draining'] : [])];
  return {
    ingress: serveIngress({ address, port: ports.ingress, handler, drain, nowMs }),
    health: serveEndpoints({
      address,
      port: ports.health,
      answer: (path) => answerHealth({ notReady }, path),
    }),
    metrics: serveEndpoints({
      address,
      port: ports.metrics,
      answer: (path) => answerMetrics(() => sidecar.metrics.expose(), path),
    }),
  };
}

interface Ending {
  readonly options: Options;
  readonly sidecar: Sidecar;
  readonly drain: Drain;
  readonly servers: Servers;
}

/** Nothing new, let requests under way finish, hand over what is still to be recorded, go. */
async function end({ options, sidecar, drain, servers }: Ending): Promise<void> {
  drain.begin();
  drain.stop();
  const finished = await within(options.drainSeconds * 1_000, servers.ingress.stop());
  if (!finished) {
    log('warn', 'requests under way did not finish in time');
    await within(flushMsMax, servers.ingress.close());
  }
  const lost = await sidecar.stop(flushMsMax);
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

/** Bun reads this before any of our code runs, so it can only be set from outside; the image does. */
function warnOfFewConnections(): void {
  if (process.env['BUN_CONFIG_MAX_HTTP_REQUESTS'] !== undefined) return;
  log('warn', 'BUN_CONFIG_MAX_HTTP_REQUESTS is not set: at most 256 requests and open streams at a time');
}

main();
