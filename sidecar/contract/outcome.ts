import type { ServerRef } from './lease.ts';

/**
 * `POST /v1/outcomes`: what an upstream made of the keys that a sidecar put into requests. The broker answers `{ received: n }`, the
 * number of those that it believes; a report that is lost or repeated does no harm. Parsers live in `parse-requests.ts`.
 */
export interface OutcomeReport {
  readonly server: ServerRef;
  /** At most `outcomesMax`, one for each user and version: the latest. */
  readonly outcomes: readonly KeyOutcome[];
  /** At most `outcomesMax`, one for each user and version. A broker of an earlier release does not read it. */
  readonly ends?: readonly KeyEnd[];
}

/** What an upstream said of the end of a key, in a header of an answer to a request that it was put into. */
export interface KeyEnd {
  readonly subjectKey: string;
  readonly keyVersion: number;
  /** RFC 3339 in UTC with milliseconds. */
  readonly endsAt: string;
  /** As in `KeyOutcome`. */
  readonly receipt?: string;
}

export interface KeyOutcome {
  readonly subjectKey: string;
  readonly keyVersion: number;
  /** Absent: the user's own key. */
  readonly keySource?: 'shared';
  /**
   * `rejected`: the upstream answered 401. `accepted`: it answered a request that needs a key with success; only told while there are
   * rejections to weigh it against. 403, 429 and 5xx are neither.
   */
  readonly outcome: 'accepted' | 'rejected';
  /** Of the lease that the key came with. Without one that fits, and with one that is older than ten minutes, the broker ignores what is told. */
  readonly receipt?: string;
}

export const outcomesMax = 500;

/** Largest `POST /v1/outcomes` body. */
export const outcomeReportBytesMax = 131_072;
