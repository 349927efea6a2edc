import type { KubeError } from './errors.ts';
import type { Method } from './request.ts';

export type RetryDecision =
  | { readonly kind: 'fail' }
  | { readonly kind: 'retry'; readonly delayMs: number; readonly freshCredentials: boolean };

export interface FailedAttempt {
  readonly failure: KubeError;
  readonly method: Method;
  /** A watch is retried by its informer, without end; here only its credentials are renewed. */
  readonly watch: boolean;
  /** 1 for the first. */
  readonly attempt: number;
  /** The credentials were read again for this call already. */
  readonly refreshed: boolean;
}

export const attemptLimits = {
  attemptsMax: 5,
  /** What we wait when the server says "too many requests" and not how long. */
  delayMsDefault: 1000,
  /** Longest Retry-After that is honoured; more than that is the caller's to decide. */
  retryAfterMsMax: 30_000,
  /** A reader whose idle socket was closed under it tries again after about this. */
  networkDelayMs: 50,
} as const;

const fail: RetryDecision = { kind: 'fail' };

/**
 * Whether a failed attempt is repeated within the call. Only where the server has surely not acted (401, 429, 503 with Retry-After)
 * or where acting twice is harmless (GET).
 */
export function decideRetry(attempt: FailedAttempt, random: () => number): RetryDecision {
  const { failure } = attempt;
  if (failure.code === 'Unauthorized') {
    return attempt.refreshed ? fail : { kind: 'retry', delayMs: 0, freshCredentials: true };
  }
  if (attempt.watch || attempt.attempt >= attemptLimits.attemptsMax) return fail;
  const delayMs = throttleDelayMs(failure) ?? networkDelayMs(attempt);
  if (delayMs === undefined || delayMs > attemptLimits.retryAfterMsMax) return fail;
  // Upward only: earlier than asked would be throttled again.
  return { kind: 'retry', delayMs: delayMs * (1 + random() / 4), freshCredentials: false };
}

function throttleDelayMs(failure: KubeError): number | undefined {
  if (failure.status === 429) return failure.retryAfterMs ?? attemptLimits.delayMsDefault;
  return failure.status === 503 ? failure.retryAfterMs : undefined;
}

function networkDelayMs(attempt: FailedAttempt): number | undefined {
  const lostOnTheWay = attempt.failure.code === 'Unavailable' && attempt.failure.status === undefined;
  return lostOnTheWay && attempt.method === 'GET' && attempt.attempt === 1 ? attemptLimits.networkDelayMs : undefined;
}

/** `Retry-After` in seconds or as a date (RFC 9110 section 10.2.3); nonsense counts as absent. */
export function parseRetryAfterMs(header: string | undefined, nowUnixMs: number): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowUnixMs);
}
