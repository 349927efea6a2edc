import type { LeaseResponse, ServerRef } from '../contract/lease.ts';
import { leaseResponseBytesMax } from '../contract/lease.ts';
import { parseLeaseResponse } from '../contract/parse.ts';
import type { BrokerClient } from './broker-client.ts';
import { readJson } from './broker-client.ts';
import { type Backoff, backoffMs, pause } from './backoff.ts';
import { LeaseError } from './lease-error.ts';

export interface LeaseClientOptions {
  readonly broker: BrokerClient;
  readonly server: ServerRef;
  readonly limits?: LeaseCallLimits;
}

export interface LeaseCallLimits {
  /** One attempt. Short: a broker replica that died without a word must not hold a request for long. */
  readonly attemptMsMax: number;
  /** No attempt begins later. */
  readonly callMsMax: number;
  readonly backoff: Backoff;
}

export const leaseCallLimits: LeaseCallLimits = {
  attemptMsMax: 2_000,
  callMsMax: 5_000,
  backoff: { firstMs: 50, mostMs: 500 },
};

/** Asks for a lease until the broker answers or time is up. */
export class LeaseClient {
  readonly #options: LeaseClientOptions;

  constructor(options: LeaseClientOptions) {
    this.#options = options;
  }

  /** @throws LeaseError */
  async fetch(credential: string): Promise<LeaseResponse> {
    const limits = this.#options.limits ?? leaseCallLimits;
    const deadline = AbortSignal.timeout(limits.callMsMax);
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.#attempt(credential, limits.attemptMsMax);
      } catch (error) {
        if (!isWorthRetrying(error, attempt)) throw error;
        await pause(backoffMs(limits.backoff, attempt), deadline);
        if (deadline.aborted) throw error;
      }
    }
  }

  async #attempt(credential: string, msMax: number): Promise<LeaseResponse> {
    const { broker, server } = this.#options;
    const signal = AbortSignal.timeout(msMax);
    const json = JSON.stringify({ server, credential });
    const response = await broker.call({ method: 'POST', path: '/v1/leases', json, signal });
    const answer = await readJson(response, leaseResponseBytesMax);
    return parse(answer);
  }
}

function parse(answer: unknown): LeaseResponse {
  try {
    return parseLeaseResponse(answer);
  } catch (cause) {
    throw new LeaseError('BrokerUnavailable', 'the answer of the broker does not keep to the contract', { cause });
  }
}

/** A refused pod is asked about once more, with a token that was read anew. */
function isWorthRetrying(error: unknown, attempt: number): boolean {
  if (!(error instanceof LeaseError)) return false;
  return error.code === 'BrokerUnavailable' || (error.code === 'PodRefused' && attempt === 0);
}
