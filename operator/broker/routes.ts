import type { IncomingMessage, ServerResponse } from 'node:http';

import { ContractError } from '#contract/fields.ts';
import type { ServerRef } from '#contract/lease.ts';
import { parseServerRef } from '#contract/parse-common.ts';
import { parseQuotaRequest } from '#contract/parse-quota.ts';
import { parseAuditBatch, parseLeaseRequest, parseOutcomeReport } from '#contract/parse-requests.ts';

import type { AuditIntake } from './audit-intake.ts';
import { BrokerError } from './errors.ts';
import { bearerOf, readContract, sendGranted, sendJson } from './http.ts';
import type { LeaseAnswer, LeaseService } from './lease-service.ts';
import { brokerLimits } from './limits.ts';
import type { BrokerObserver } from './metrics.ts';
import type { OutcomeIntake } from './outcomes.ts';
import type { PodGate } from './pod-gate.ts';
import type { QuotaService } from './quota.ts';
import type { Route } from './server.ts';
import type { WatchHub } from './watch-hub.ts';

export interface RoutesOptions {
  readonly leases: Pick<LeaseService, 'lease'>;
  readonly intake: Pick<AuditIntake, 'take'>;
  readonly outcomes: Pick<OutcomeIntake, 'take'>;
  readonly quotas: Pick<QuotaService, 'take'>;
  readonly hub: Pick<WatchHub, 'open'>;
  readonly podGate: Pick<PodGate, 'admit' | 'knock'>;
  readonly observer: BrokerObserver;
  readonly monotonicMs: () => number;
}

/** Everything that the broker answers, by path. */
export function createRoutes(options: RoutesOptions): ReadonlyMap<string, Route> {
  const { leasesInFlightMax, auditsInFlightMax, watchesInFlightMax, outcomesInFlightMax, quotasInFlightMax } =
    brokerLimits;
  const routes: readonly Route[] = [
    {
      path: '/v1/leases',
      name: 'leases',
      method: 'POST',
      inFlightMax: leasesInFlightMax,
      serve: (...exchange) => serveLease(options, ...exchange),
    },
    {
      path: '/v1/watch',
      name: 'watch',
      method: 'GET',
      inFlightMax: watchesInFlightMax,
      serve: (...exchange) => serveWatch(options, ...exchange),
    },
    {
      path: '/v1/audit',
      name: 'audit',
      method: 'POST',
      inFlightMax: auditsInFlightMax,
      serve: (...exchange) => serveAudit(options, ...exchange),
    },
    {
      path: '/v1/outcomes',
      name: 'outcomes',
      method: 'POST',
      inFlightMax: outcomesInFlightMax,
      serve: (...exchange) => serveOutcomes(options, ...exchange),
    },
    {
      path: '/v1/quota',
      name: 'quota',
      method: 'POST',
      inFlightMax: quotasInFlightMax,
      serve: (...exchange) => serveQuota(options, ...exchange),
    },
  ];
  return new Map(routes.map((route) => [route.path, route]));
}

async function serveLease(options: RoutesOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { observer, monotonicMs } = options;
  const startedAtMs = monotonicMs();
  try {
    const token = bearerOf(request);
    await options.podGate.knock(token, 'lease');
    const asked = await readContract(request, brokerLimits.leaseBodyBytesMax, parseLeaseRequest);
    const answer = await options.leases.lease(asked, token);
    observer.leaseTook((monotonicMs() - startedAtMs) / 1_000);
    await sendLease(response, answer, observer);
  } catch (error) {
    observer.leaseAnswered('error', error instanceof BrokerError ? error.code : 'ERR_INTERNAL');
    throw error;
  }
}

async function sendLease(response: ServerResponse, answer: LeaseAnswer, observer: BrokerObserver): Promise<void> {
  if (answer.kind === 'granted') {
    await sendGranted(response, answer.body);
    observer.leaseAnswered(answer.decision ?? 'granted', '');
    return;
  }
  const body = answer.response;
  // A new connection may lead to a replica whose log takes events.
  const closes = body.decision === 'denied' && body.reason === 'AuditUnavailable';
  sendJson(response, { status: 200, body, closes });
  observer.leaseAnswered(body.decision, 'reason' in body ? body.reason : '');
}

async function serveWatch(options: RoutesOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const server = serverInQuery(request.url ?? '');
  const pod = await options.podGate.admit({ token: bearerOf(request), server, purpose: 'watching', action: 'watch' });
  if (response.destroyed) throw new BrokerError('ERR_CLIENT_GONE');
  options.hub.open(response, server, pod);
}

/** `revision` in the query is for the sidecar's own use; the snapshot that comes first answers it. */
function serverInQuery(url: string): ServerRef {
  const query = new URL(url, 'https://broker').searchParams;
  try {
    return parseServerRef({ namespace: query.get('namespace'), name: query.get('name') }, 'query');
  } catch (cause) {
    throw cause instanceof ContractError ? new BrokerError('ERR_BODY_INVALID', { cause }) : cause;
  }
}

async function serveAudit(options: RoutesOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const token = bearerOf(request);
  await options.podGate.knock(token, 'audit');
  const events = await readContract(request, brokerLimits.auditBodyBytesMax, parseAuditBatch);
  const accepted = await options.intake.take(events, token);
  sendJson(response, { status: 200, body: { accepted } });
}

async function serveOutcomes(
  options: RoutesOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const token = bearerOf(request);
  await options.podGate.knock(token, 'outcomes');
  const report = await readContract(request, brokerLimits.outcomesBodyBytesMax, parseOutcomeReport);
  const received = await options.outcomes.take(report, token);
  sendJson(response, { status: 200, body: { received } });
}

async function serveQuota(options: RoutesOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const token = bearerOf(request);
  await options.podGate.knock(token, 'quota');
  const asked = await readContract(request, brokerLimits.quotaBodyBytesMax, parseQuotaRequest);
  sendJson(response, { status: 200, body: await options.quotas.take(asked, token) });
}
