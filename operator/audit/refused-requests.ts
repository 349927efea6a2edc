import type { RequestDecision } from '#contract/audit.ts';
import { ContractError, readInteger, readObject } from '#contract/fields.ts';

/** Whether a request can have ended so before anybody was known. Where it cannot, each one is on record by itself. */
const endsUnknown: Readonly<Record<RequestDecision, boolean>> = {
  metadata: true,
  unauthenticated: true,
  denied: true,
  badRequest: true,
  tooLarge: true,
  brokerUnavailable: true,
  clientClosed: true,
  forwarded: false,
  keyMissing: false,
  keyRejected: false,
  toolDenied: false,
  limited: false,
  upstreamUnavailable: false,
};

/** Pure. A request that anybody may make as often as they like. */
export function isOfNobody(event: {
  readonly subject?: unknown;
  readonly leaseId?: unknown;
  readonly decision: RequestDecision;
}): boolean {
  return event.subject === undefined && event.leaseId === undefined && endsUnknown[event.decision];
}

/** @throws ContractError */
export function readDecisionCounts(value: unknown, path: string): Readonly<Partial<Record<RequestDecision, number>>> {
  const counts: Partial<Record<RequestDecision, number>> = {};
  for (const [name, count] of Object.entries(readObject(value, path))) {
    if (!isDecision(name)) throw new ContractError(path, 'counts by decision');
    counts[name] = readInteger(count, path, { min: 1, max: Number.MAX_SAFE_INTEGER });
  }
  return counts;
}

function isDecision(name: string): name is RequestDecision {
  return Object.hasOwn(endsUnknown, name);
}
