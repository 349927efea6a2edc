import { type BudgetLimits, type BudgetUse, hasRoom } from './budget.ts';

/** A stored key that has to be probed. */
export interface DueKey {
  readonly id: string;
  /** Where its probes go. */
  readonly upstreams: readonly string[];
  readonly dueAtMs: number;
}

export interface PlanWorld {
  readonly nowMs: number;
  readonly limits: BudgetLimits;
  readonly runningTotal: number;
  readonly useOf: (upstream: string) => BudgetUse;
}

/** Pure. Which of the keys are probed now: those due for longest, as far as the budgets of their upstreams go. */
export function planProbes<Key extends DueKey>(keys: readonly Key[], world: PlanWorld): readonly Key[] {
  const { nowMs, limits } = world;
  const planned = new Map<string, number>();
  const chosen: Key[] = [];
  const due = keys.filter(({ dueAtMs }) => dueAtMs <= nowMs).toSorted((left, right) => left.dueAtMs - right.dueAtMs);
  for (const key of due) {
    if (world.runningTotal + chosen.length >= limits.runningTotalMax) break;
    const upstreams = [...new Set(key.upstreams)];
    if (!upstreams.every((upstream) => hasRoom(usedWith(world, upstream, planned), limits, nowMs))) continue;
    for (const upstream of upstreams) planned.set(upstream, (planned.get(upstream) ?? 0) + 1);
    chosen.push(key);
  }
  return chosen;
}

function usedWith({ nowMs, useOf }: PlanWorld, upstream: string, planned: ReadonlyMap<string, number>): BudgetUse {
  const { running, startsMs } = useOf(upstream);
  const more = planned.get(upstream) ?? 0;
  return { running: running + more, startsMs: [...startsMs, ...Array.from({ length: more }, () => nowMs)] };
}

/** Of an interval, by which keys that were set together drift apart. */
export const jitterShare = 0.1;
const retry = { delayMsMin: 60_000, delayMsMax: 3_600_000 } as const;
/** Longest wait for another attempt. */
export const retryMsMax: number = retry.delayMsMax * (1 + jitterShare);

/** When a key that had a verdict is probed next: after the interval, and at most a tenth of it later. `random` is in [0, 1). */
export function nextProbeMs(nowMs: number, intervalMs: number, random: number): number {
  return nowMs + Math.round(intervalMs * (1 + jitterShare * random));
}

/** When a key without a verdict is tried again: after a minute, then twice as long each time up to an hour, never later than planned. */
export function retryProbeMs(
  nowMs: number,
  { intervalMs, attempts, random }: { readonly intervalMs: number; readonly attempts: number; readonly random: number },
): number {
  const delayMs = Math.min(retry.delayMsMin * 2 ** Math.min(attempts, 16), retry.delayMsMax, intervalMs);
  return nowMs + Math.round(delayMs * (1 + jitterShare * random));
}
