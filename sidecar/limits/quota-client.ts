import type { ServerRef } from '../contract/lease.ts';
import { parseQuotaResponse } from '../contract/parse-quota.ts';
import type { QuotaResponse, QuotaWish } from '../contract/quota.ts';
import { quotaBytesMax } from '../contract/quota.ts';
import type { BrokerClient } from '../leases/broker-client.ts';
import { readJson } from '../leases/broker-client.ts';
import { LeaseError } from '../leases/lease-error.ts';

/** One attempt. A replica that died without a word must not hold a request for long. */
const attemptMsMax = 1_500;
const attemptsMax = 2;

/** A second attempt counts a second time when the first was granted and its answer lost: what is granted twice is lost, never used twice. @throws LeaseError */
export async function askQuota(
  broker: BrokerClient,
  server: ServerRef,
  { subjectKey, wishes }: { readonly subjectKey: string; readonly wishes: readonly QuotaWish[] },
): Promise<QuotaResponse> {
  const json = JSON.stringify({ server, subjectKey, buckets: wishes });
  for (let attempt = 1; ; attempt += 1) {
    try {
      const signal = AbortSignal.timeout(attemptMsMax);
      const response = await broker.call({ method: 'POST', path: '/v1/quota', json, signal });
      return parseQuotaResponse(await readJson(response, quotaBytesMax));
    } catch (error) {
      if (attempt >= attemptsMax || !(error instanceof LeaseError)) throw error;
    }
  }
}
