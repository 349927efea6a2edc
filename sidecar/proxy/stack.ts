import type { ServerRef } from '../contract/lease.ts';
import type { PolicySnapshot } from '../contract/watch.ts';
import type { BodyBudget } from './body-budget.ts';
import type { Bounds } from './bounds-in-force.ts';
import { Completions } from '../ladder/completions.ts';
import { Ladder } from '../ladder/ladder.ts';
import type { HoldingPlaces } from '../ladder/places.ts';
import { Resumption } from '../ladder/resume.ts';
import type { Limiter } from '../limits/limiter.ts';
import { limitsInForce } from '../limits/limits-in-force.ts';
import type { Handler, IncomingRequest, Layer, ProxyResponse } from './exchange.ts';
import { answerMissingKey } from './layers/answer-missing-key.ts';
import { attach } from './layers/attach.ts';
import { audit, type AuditQueue } from './layers/audit.ts';
import { authorizeTool, toolsInForce } from './layers/authorize-tool.ts';
import { bindSession } from './layers/bind-session.ts';
import { checkHostOrigin, type HostsAndOrigins } from './layers/check-host-origin.ts';
import { checkTarget, type Endpoint } from './layers/check-target.ts';
import { classify } from './layers/classify.ts';
import { count, type RequestMetrics } from './layers/count.ts';
import { dropHopByHop } from './layers/drop-hop-by-hop.ts';
import { type DrainSignal, endAtDrain } from './layers/end-at-drain.ts';
import { endWithLease } from './layers/end-with-lease.ts';
import { filterLists } from './layers/filter-lists.ts';
import { forward, type Upstream } from './layers/forward.ts';
import { guardEcho } from './layers/guard-echo.ts';
import { identify, type LeaseSource } from './layers/identify.ts';
import { limit, type LimitObserver } from './layers/limit.ts';
import { limitHead } from './layers/limit-head.ts';
import { markSession } from './layers/mark-session.ts';
import { observe, type Outcomes } from './layers/observe.ts';
import { readBody } from './layers/read-body.ts';
import { serveMetadata } from './layers/serve-metadata.ts';
import { settle } from './layers/settle.ts';
import { sharePlaces } from './layers/share-places.ts';
import { strip } from './layers/strip.ts';
import { useDiscoveryKey } from './layers/use-discovery-key.ts';
import { watchAnswer } from './layers/watch-answer.ts';
import { MessageStreams } from './message-streams.ts';
import { type Belongings, Ownership } from './ownership.ts';
import type { PaceLimits } from './pace.ts';
import type { Pulse } from './pulse.ts';
import { StreamLeases } from './stream-leases.ts';
import { answerError, rescue } from './rescue.ts';

/** What a request meets first, whichever server it is for. */
export interface FrontParts {
  readonly metrics: RequestMetrics;
  readonly clock: { readonly nowMs: () => number };
  readonly reportUnexpected: (error: unknown) => void;
}
import type { UserShares } from './user-shares.ts';

export interface ServerParts {
  readonly server: ServerRef;
  readonly endpoint: Endpoint;
  /** Scheme and host of the URLs that clients use. Absent: what they say in `Host`. */
  readonly externalUrl?: string | undefined;
  readonly allowed: HostsAndOrigins;
  readonly bounds: () => Bounds;
  /** Slowest that a body may arrive. */
  readonly pace: PaceLimits;
  readonly leases: LeaseSource;
  readonly policy: () => PolicySnapshot | undefined;
  readonly clock: { readonly nowMs: () => number };
  readonly queue: AuditQueue;
  readonly drain: DrainSignal;
  /** Shared by all streams of one proxy. */
  readonly pulse: Pulse;
  /** Shared by all servers of one proxy, and kept where one of them is closed for a while. */
  readonly belongings: Belongings;
  readonly upstream: Upstream;
  /** Shared by all servers of one proxy, as its memory is one. */
  readonly bodies: BodyBudget;
  /** Requests under way of each user. */
  readonly userPlaces: UserShares;
  readonly held: HoldingPlaces;
  readonly outcomes: Outcomes;
  /** Of this server. */
  readonly limiter: Pick<Limiter, 'take'>;
  readonly limited: LimitObserver;
  readonly reportUnexpected: (error: unknown) => void;
}

export type IngressParts = FrontParts & ServerParts;

/** The layers of a request to the server in this pod, in the order in which a request meets them. */
export function ingress(parts: IngressParts): Handler<IncomingRequest> {
  return front(parts, toServer(parts));
}

/** The layers that are the same for every server, around `inner`. */
export function front(parts: FrontParts, inner: Handler<IncomingRequest>): Handler<IncomingRequest> {
  return (
    new Stack<IncomingRequest, IncomingRequest>((innermost) => innermost)
      // Outermost: sees the response that really goes out, whoever made it, to its last byte.
      .push(settle(parts.clock))
      // Before anything can fail, so that nothing goes uncounted.
      .push(count(parts.metrics))
      // Around every layer that throws; inside the two that must also see the responses it makes.
      .push(rescue(parts.reportUnexpected))
      .serve(inner)
  );
}

/** The layers of one server, to be put behind `front`. */
export function toServer(parts: ServerParts): Handler<IncomingRequest> {
  const completions = new Completions(parts.leases);
  const ladder = new Ladder({ ...parts, completions, limits: parts.held.limits, now: () => new Date() });
  const toAnswer = (error: unknown, request: IncomingRequest): ProxyResponse =>
    answerError(error, request, parts.reportUnexpected);
  const resumption = new Resumption({ ...parts, ladder, rescue: toAnswer });
  const tools = toolsInForce(parts.policy);
  const limits = limitsInForce(parts.policy);
  const ownership = new Ownership(parts.belongings, parts.server);
  const streams = new MessageStreams();
  const { endpoint, externalUrl, policy } = parts;
  const resource = { endpoint, externalUrl, policy };
  return (
    new Stack<IncomingRequest, IncomingRequest>((inner) => inner)
      // Takes its place in the queue before any work is done: no place, no request.
      .push(audit({ queue: parts.queue, server: parts.server, clock: parts.clock }))
      // Before the checks that let only MCP through; a public document of ours, which the server never hears of.
      .push(serveMetadata(resource))
      // Cheapest checks first: none of these three needs the body.
      .push(checkTarget(parts.endpoint, streams))
      .push(checkHostOrigin(parts.allowed, policy))
      // Before the broker is asked: an oversized request costs it nothing.
      .push(limitHead(parts.bounds))
      // Needs the head alone, and comes before the body: a stranger takes no memory, and learns nothing from how it is judged.
      .push(identify(parts.leases, resource))
      // The first moment in which there is a user to count for.
      .push(sharePlaces(parts.userPlaces))
      // From here on the body is whole and bounded.
      .push(readBody({ pace: parts.pace, bounds: parts.bounds, budget: parts.bodies }))
      // What is asked. Everything below decides on this, never on headers.
      .push(classify())
      // Needs the user; behind it the id of a session is the server's own.
      .push(markSession({ server: parts.server, policy, ownership, opensUrls: (request) => ladder.opensUrls(request) }))
      // Needs the user; before anything that answers from what a session says of its client.
      .push(
        bindSession({
          ownership,
          streams,
          endpoint,
          opensUrls: (request) => ladder.opensUrls(request),
          rescue: toAnswer,
        }),
      )
      // Needs the message; before a key is asked for that the call would not get.
      .push(authorizeTool(tools))
      // Needs user, message and session; before strip, as nothing is sent when it answers.
      .push(answerMissingKey(ladder, resumption))
      // Once more: a call that was held until its key came is judged by the policy of that moment.
      .push(authorizeTool(tools))
      // Last of what may refuse: only what goes on is counted. Before strip, as nothing is sent when it refuses.
      .push(limit({ limits, limiter: parts.limiter, observer: parts.limited, now: () => new Date() }))
      // After all that may refuse, and before anything that looks at the key that is sent.
      .push(useDiscoveryKey())
      // From here on there are headers for the upstream, without anything that a key or a credential could be in.
      .push(strip(parts.policy))
      // Before attach: a client that names the key's header in Connection must not take the key away.
      .push(dropHopByHop())
      // After everything that takes headers away, so that the key stays.
      .push(attach())
      // From here on layers work on the response. These two hold the stream that the client reads.
      .push(endWithLease(new StreamLeases({ leases: parts.leases, nowMs: parts.clock.nowMs })))
      .push(endAtDrain(parts.drain))
      // Sees what the client will see, and puts its comments around it.
      .push(watchAnswer({ ownership, streams, endpoint, policy, pulse: parts.pulse, completions }))
      // Below what watches and counts: that is about what the client really gets.
      .push(filterLists({ tools, ownership, bodies: parts.bodies }))
      // Sees what the upstream answered to what was attached.
      .push(observe(ladder, parts.outcomes))
      // Innermost: nothing else of ours sees, changes or holds what the upstream says before the key is out of it.
      .push(guardEcho())
      .serve(forward(parts.upstream, parts.clock))
  );
}

/** Layers from the outside in. The types keep the order: each layer gets what the one before it hands on. */
class Stack<Outermost, Innermost> {
  readonly #wrap: (inner: Handler<Innermost>) => Handler<Outermost>;

  constructor(wrap: (inner: Handler<Innermost>) => Handler<Outermost>) {
    this.#wrap = wrap;
  }

  push<Next>(layer: Layer<Innermost, Next>): Stack<Outermost, Next> {
    return new Stack((inner) => this.#wrap(layer(inner)));
  }

  serve(innermost: Handler<Innermost>): Handler<Outermost> {
    return this.#wrap(innermost);
  }
}
