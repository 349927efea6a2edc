import type { ServerRef } from '../contract/lease.ts';
import type { OutcomeReport } from '../contract/outcome.ts';
import type { BrokerClient } from '../leases/broker-client.ts';

/** Longest that one report is waited for. */
const outcomeCallMsMax = 5_000;

/** @throws LeaseError when the broker does not take it */
export async function sendOutcomes(
  broker: BrokerClient,
  server: ServerRef,
  { outcomes, ends = [] }: Pick<OutcomeReport, 'outcomes' | 'ends'>,
): Promise<void> {
  const report: OutcomeReport = { server, outcomes, ...(ends.length === 0 ? {} : { ends }) };
  const signal = AbortSignal.timeout(outcomeCallMsMax);
  const json = JSON.stringify(report);
  const response = await broker.call({ method: 'POST', path: '/v1/outcomes', json, signal });
  await response.body?.cancel();
}
