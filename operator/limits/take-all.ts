import type { QuotaBlock, QuotaResponse, QuotaWish } from '#contract/quota.ts';

import { type BucketState, take } from './bucket.ts';
import type { CountedRule } from './limit-rules.ts';
import type { Counts } from './limit-store.ts';

export interface Taken {
  readonly response: QuotaResponse;
  /** Undefined: nothing was taken. */
  readonly counts: Counts | undefined;
}

/** How long a block of a limit that is no more may be used: the sidecar hears of it in this time. */
const goneValidMs = 1_000;

/** Pure. A block of every bucket, or none of any: what one limit refuses is not counted by the others. */
export function takeAll(
  rules: readonly CountedRule[],
  counts: Counts | undefined,
  { wishes, nowMs }: { readonly wishes: readonly QuotaWish[]; readonly nowMs: number },
): Taken {
  const blocks: QuotaBlock[] = [];
  const next: Record<string, BucketState> = { ...counts };
  for (const { bucket, wanted } of wishes) {
    const rule = rules.find((known) => known.rule.bucket === bucket);
    if (rule === undefined) {
      blocks.push({ bucket, granted: 1, validMs: goneValidMs });
      continue;
    }
    const taking = take(rule.bucket, next[bucket], { wanted, nowMs });
    if (!('state' in taking))
      return { response: { kind: 'limited', bucket, retryMs: taking.retryMs }, counts: undefined };
    next[bucket] = taking.state;
    blocks.push({ bucket, granted: taking.granted, validMs: taking.validMs });
  }
  return { response: { kind: 'granted', blocks }, counts: next };
}
