import { auditBatchMax } from '../contract/audit.ts';
import { readInteger, readObject } from '../contract/fields.ts';
import { type BrokerClient, readJson } from '../leases/broker-client.ts';
import type { EventText } from './audit-spool.ts';

/** Longest that one batch is waited for. */
export const auditCallMsMax = 5_000;
const answerBytesMax = 4_096;

/** Sends one batch. Resolves the number of events that are durable. */
export async function sendAudit(broker: BrokerClient, events: readonly EventText[]): Promise<number> {
  const signal = AbortSignal.timeout(auditCallMsMax);
  const response = await broker.call({
    method: 'POST',
    path: '/v1/audit',
    json: `{"events":[${events.join(',')}]}`,
    signal,
  });
  const { accepted } = readObject(await readJson(response, answerBytesMax), 'audit answer');
  return readInteger(accepted, 'accepted', { min: 0, max: auditBatchMax });
}
