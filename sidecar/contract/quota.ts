import type { ServerRef } from './lease.ts';

/**
 * `POST /v1/quota`: a sidecar asks for blocks of a user's limits. A block is counted when it is granted and used without asking again;
 * what is not used in its time is lost. The broker answers `granted` for all buckets of a request, or `limited` and counts nothing.
 */
export interface QuotaRequest {
  readonly server: ServerRef;
  readonly subjectKey: string;
  readonly buckets: readonly QuotaWish[];
}

export interface QuotaWish {
  readonly bucket: string;
  /** Most that is of use now. */
  readonly wanted: number;
}

export type QuotaResponse =
  | { readonly kind: 'granted'; readonly blocks: readonly QuotaBlock[] }
  /** `bucket` has nothing left for `retryMs`. */
  | { readonly kind: 'limited'; readonly bucket: string; readonly retryMs: number };

export interface QuotaBlock {
  readonly bucket: string;
  readonly granted: number;
  /** From when the sidecar asked. The first of a block is used at once; 0 leaves no time for others. */
  readonly validMs: number;
}

/** The limits of a server, in its snapshot: all of them hold. */
export interface LimitRules {
  readonly rules: readonly LimitRule[];
  /** Whether requests pass while counts cannot be kept. */
  readonly onStoreFailure: 'Open' | 'Closed';
}

export interface LimitRule {
  /** Names what is counted for each user, to the broker. */
  readonly bucket: string;
  readonly per: LimitPeriod;
  readonly max: number;
  /** Pattern of tools whose calls count; absent: every request does. */
  readonly match?: string;
}

export type LimitPeriod = 'Second' | 'Minute' | 'Hour' | 'Day';

export const limitRulesMax = 256;
/** Policy, period and pattern. */
export const bucketCharsMax = 512;
export const quotaWantedMax = 1_024;
/** Largest `POST /v1/quota` body and answer. */
export const quotaBytesMax = 262_144;
/** Longest that a limit lasts: days have up to 49 hours where the date line moves. */
export const quotaMsMax = 180_000_000;
