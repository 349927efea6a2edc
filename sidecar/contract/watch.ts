import type { HeaderHint, ServerRef } from './lease.ts';

/**
 * `GET /v1/watch?namespace=…&name=…`: newline-delimited JSON, one message a line. The first line is a snapshot; a heartbeat
 * comes every `heartbeatMs`. A sidecar that has heard nothing for `silenceMsMax` drops every lease (fail closed).
 */
export type WatchMessage =
  | { readonly kind: 'snapshot'; readonly revision: string; readonly policy: PolicySnapshot }
  /** `subjectKey`: of one subject, or `all`. */
  | { readonly kind: 'invalidate'; readonly revision: string; readonly subjectKey: string }
  | { readonly kind: 'heartbeat'; readonly revision: string };

/** Immutable resolved policy that a sidecar holds for its server. */
export interface PolicySnapshot {
  readonly server: ServerRef;
  readonly title: string;
  /** Every header that may be injected; all inbound copies of them are stripped. */
  readonly headers: readonly (HeaderHint & { readonly required: boolean })[];
}

export const heartbeatMs = 3_000;
export const silenceMsMax = 10_000;
export const watchLineBytesMax = 1_048_576;
