import type { BucketState, Held } from './bucket.ts';
import type { Counts } from './limit-store.ts';

/** Counts as JSON, short: `[level, atMs, endMs, held]` for tokens, `[used, endMs]` for a day. */

export function encodeCounts(counts: Counts): object {
  return Object.fromEntries(Object.entries(counts).map(([bucket, state]) => [bucket, encodeState(state)]));
}

function encodeState(state: BucketState): readonly unknown[] {
  return state.kind === 'day'
    ? [state.used, state.endMs]
    : [Math.round(state.level * 1e6) / 1e6, state.atMs, state.endMs, state.held];
}

/** What cannot be read is left out: counting then begins anew. */
export function decodeCounts(value: unknown): Counts {
  const counts: Record<string, BucketState> = {};
  if (typeof value !== 'object' || value === null) return counts;
  for (const [bucket, encoded] of Object.entries(value)) {
    const state = Array.isArray(encoded) ? decodeState(encoded) : undefined;
    if (state !== undefined) counts[bucket] = state;
  }
  return counts;
}

function decodeState(encoded: readonly unknown[]): BucketState | undefined {
  const [first, second, third, held] = encoded;
  if (typeof first !== 'number' || typeof second !== 'number') return undefined;
  if (encoded.length === 2) return { kind: 'day', used: first, endMs: second };
  if (typeof third !== 'number' || !Array.isArray(held)) return undefined;
  return { kind: 'tokens', level: first, atMs: second, endMs: third, held: held.filter(isHeld) };
}

function isHeld(value: unknown): value is Held {
  return Array.isArray(value) && value.length === 2 && value.every((part) => typeof part === 'number');
}

/** Without the buckets that are as good as new; undefined when none is left. `marginMs` is for clocks that differ. */
export function withoutEnded(counts: Counts, nowMs: number, marginMs: number): Counts | undefined {
  const left = Object.entries(counts).filter(([, { endMs }]) => endMs + marginMs > nowMs);
  return left.length === 0 ? undefined : Object.fromEntries(left);
}
