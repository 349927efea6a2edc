import type { ServerRef } from '../contract/lease.ts';
import type { PolicySnapshot } from '../contract/watch.ts';
import { followServer, type FollowedServer } from '../followed-server.ts';
import type { BrokerClient } from '../leases/broker-client.ts';
import type { BodyBudget } from '../proxy/body-budget.ts';
import { type Bounds, boundsInForce } from '../proxy/bounds-in-force.ts';
import { ProxyError } from '../proxy/errors.ts';
import type { Handler, IncomingRequest } from '../proxy/exchange.ts';
import type { Upstream } from '../proxy/layers/forward.ts';
import { front, type ServerParts, toServer } from '../proxy/stack.ts';
import type { UserShares } from '../proxy/user-shares.ts';
import { createReporting, type Reporting } from '../reporting.ts';
import type { Log } from '../telemetry/log.ts';
import type { Gauges, SidecarMetrics } from '../telemetry/sidecar-metrics.ts';
import { noSuchServer, OpenServers } from './open-servers.ts';
import { type Relay, relayToSidecar } from './relay.ts';
import { followRemote, notServed, type RemoteUpstream } from './remote.ts';
import { targetOf } from './target.ts';

export interface GatewayParts {
  readonly broker: BrokerClient;
  readonly nowMs: () => number;
  readonly log: Log;
  readonly process: Pick<Gauges, 'residentBytes' | 'cpuSeconds'>;
  /** The only servers that are served; absent: every one that the broker lets this pod serve. */
  readonly servers?: readonly ServerRef[] | undefined;
  readonly externalUrl: string | undefined;
  readonly allowed: ServerParts['allowed'];
  /** Most that a server may allow. */
  readonly most: Bounds;
  readonly pace: ServerParts['pace'];
  readonly bodies: BodyBudget;
  readonly userPlaces: UserShares;
  readonly drain: ServerParts['drain'];
  readonly pulse: ServerParts['pulse'];
  readonly belongings: ServerParts['belongings'];
  readonly held: ServerParts['held'];
  readonly createRemote: (server: ServerRef, remote: RemoteUpstream, bounds: () => Bounds) => Upstream;
  readonly createRelay: (bounds: () => Bounds) => Relay;
  readonly reportUnexpected: (error: unknown) => void;
}

/** One proxy for many servers, each at `/{namespace}/{name}/mcp`. */
export interface Gateway {
  readonly handler: Handler<IncomingRequest>;
  readonly metrics: SidecarMetrics;
  readonly start: () => void;
  /** Sends what is still to be recorded; resolves the number of events lost. */
  readonly stop: (flushMsMax: number) => Promise<number>;
}

const sweepMs = 30_000;

/** Leases of all servers together, and least of one: a busy server has most of them while the others are quiet. */
const leasesMax = 20_000;
const leasesOfOneMin = 200;

export function assembleGateway(parts: GatewayParts): Gateway {
  const { broker, nowMs, log } = parts;
  const gauges = {
    ...parts.process,
    leases: () => servers.followed.reduce((sum, { leases }) => sum + leases.size, 0),
    watchConnected: () => servers.followed.every((followed) => followed.connected()),
    servers: () => servers.size,
  };
  const reporting: Reporting = createReporting({ broker, nowMs, log, gauges });
  const leaseEntriesMax = (): number => Math.max(leasesOfOneMin, Math.floor(leasesMax / Math.max(1, servers.size)));
  const servers: OpenServers<Handler<IncomingRequest>> = new OpenServers({
    follow: (server, listener) => followServer({ server, broker, nowMs, reporting, leaseEntriesMax }, listener),
    make: (server, followed) => serve(server, followed, { parts, reporting }),
    nowMs,
  });
  const { metrics, spool } = reporting;
  let sweep: ReturnType<typeof setInterval> | undefined;
  return {
    handler: front(
      { metrics, clock: { nowMs }, reportUnexpected: parts.reportUnexpected },
      route(servers, parts.servers),
    ),
    metrics,
    start: () => (sweep = setInterval(() => tidy(servers), sweepMs)),
    stop: async (flushMsMax) => {
      clearInterval(sweep);
      servers.closeAll();
      return spool.flush(flushMsMax);
    },
  };
}

function tidy(servers: OpenServers<unknown>): void {
  servers.closeIdle();
  for (const { leases } of servers.followed) leases.dropExpired();
}

/** What every request passes first: which server it is for. */
function route(
  servers: OpenServers<Handler<IncomingRequest>>,
  only: readonly ServerRef[] | undefined,
): Handler<IncomingRequest> {
  const known = only === undefined ? undefined : new Set(only.map(({ namespace, name }) => `/${namespace}/${name}`));
  return async function routeRequest(request) {
    const target = targetOf(request.path);
    if (target === undefined || known?.has(target.prefix) === false) throw new ProxyError('PathNotFound', noSuchServer);
    const { value: handle, release } = await servers.use(target.server, request.peer);
    request.record.whenEnded.push(release);
    return handle({ ...request, path: target.path });
  };
}

interface Surroundings {
  readonly parts: GatewayParts;
  readonly reporting: Reporting;
}

/** Path of every MCP endpoint here, whatever the server's own is. */
const endpointPath = '/mcp';

/** The broker says where a server is, and it may move while it is open. */
function serve(server: ServerRef, followed: FollowedServer, around: Surroundings): Handler<IncomingRequest> {
  const {
    allowed,
    most,
    pace,
    bodies,
    userPlaces,
    drain,
    pulse,
    belongings,
    held,
    externalUrl,
    createRelay,
    createRemote,
    nowMs,
  } = around.parts;
  const policy = (): PolicySnapshot | undefined => followed.policy();
  const bounds = boundsInForce(policy, most);
  const endpoint = { path: endpointPath, prefix: `/${server.namespace}/${server.name}` };
  const toRemote = toServer({
    server,
    endpoint,
    externalUrl,
    allowed,
    bounds,
    pace,
    bodies,
    userPlaces,
    leases: followed.leases,
    outcomes: followed.outcomes,
    limiter: followed.limiter,
    limited: around.reporting.metrics.limits,
    policy,
    queue: around.reporting.spool,
    clock: { nowMs },
    drain,
    pulse,
    belongings,
    held,
    reportUnexpected: around.parts.reportUnexpected,
    upstream: followRemote(policy, (remote) => createRemote(server, remote, bounds)),
  });
  const toSidecar = relayToSidecar({
    resource: { endpoint, externalUrl, policy },
    policy,
    allowed,
    bounds,
    relay: createRelay(bounds),
    drain,
    audit: { queue: around.reporting.spool, server, clock: { nowMs } },
  });
  return function serveByKind(request) {
    switch (policy()?.upstream?.kind) {
      case 'remote':
        return toRemote(request);
      case 'cluster':
        return toSidecar(request);
      case undefined:
        throw notServed();
    }
  };
}
