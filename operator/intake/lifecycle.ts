import type { UserKeyRequest } from '#crds/v1alpha1/generated/user-key-request.ts';

/** How long an answer stays to be read. */
export const answerMs = 60_000;
/** How long a request may go unanswered. */
export const requestMs = 300_000;

export type RequestPhase =
  | { readonly kind: 'handle' }
  | { readonly kind: 'keep'; readonly forMs: number }
  | { readonly kind: 'remove' };

/** What is to be done with a request, by its age and answer alone. */
export function phaseOf({ metadata, status }: UserKeyRequest, nowMs: number): RequestPhase {
  const createdAtMs = Date.parse(metadata.creationTimestamp ?? '');
  if (Number.isNaN(createdAtMs) || nowMs - createdAtMs >= requestMs) return { kind: 'remove' };
  if (status?.completedAt === undefined) return { kind: 'handle' };
  const forMs = Math.min(Date.parse(status.completedAt) + answerMs, createdAtMs + requestMs) - nowMs;
  return forMs > 0 ? { kind: 'keep', forMs } : { kind: 'remove' };
}
