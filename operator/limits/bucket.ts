/**
 * The arithmetic of limits. Pure. `Second`, `Minute` and `Hour` are token buckets: `burst` tokens at most, `max` new ones a period. `Day`
 * is a calendar day. Blocks are granted ahead of their use, so a bucket counts what may still be used: in no span of time t is more
 * used than burst + max * t / period, and in no day more than max, whoever dies with a block in hand.
 */

export type BucketRule =
  | { readonly kind: 'tokens'; readonly max: number; readonly burst: number; readonly periodMs: number }
  /** `endMs` of the day that `nowMs` is in. */
  | { readonly kind: 'day'; readonly max: number; readonly endOf: (nowMs: number) => number };

export type BucketState =
  | {
      readonly kind: 'tokens';
      readonly level: number;
      readonly atMs: number;
      /** Granted and perhaps not used yet: how many, until when. In order of their ends. */
      readonly held: readonly Held[];
      /** From then on it is as if there had never been anything. */
      readonly endMs: number;
    }
  | { readonly kind: 'day'; readonly used: number; readonly endMs: number };

export type Held = readonly [count: number, untilMs: number];

export interface Taking {
  /** Undefined where nothing changed. */
  readonly state: BucketState;
  readonly granted: number;
  /** How long the block may be used. */
  readonly validMs: number;
}

export interface Refusal {
  readonly granted: 0;
  /** Until one is there. */
  readonly retryMs: number;
}

/** Longest that a block of tokens waits for its use. */
export const holdMsMax = 5_000;
/** Below it blocks are of one, which is used at once. */
const holdMsMin = 200;
/** Part of the burst that may be in blocks while the bucket is drawn from steadily. */
const heldShare = 0.25;
/** Part of what is left that one block may have. */
const blockShare = 0.1;
/** Clocks of replicas may differ by this much. */
const clockMarginMs = 60_000;
/** Rounding of sums of fractions. */
const epsilon = 1e-6;

/** The first of a block is used at once, by the request that asked for it. */
export function take(
  rule: BucketRule,
  state: BucketState | undefined,
  { wanted, nowMs }: { readonly wanted: number; readonly nowMs: number },
): Taking | Refusal {
  switch (rule.kind) {
    case 'tokens':
      return takeTokens(rule, state?.kind === 'tokens' ? state : undefined, { wanted, nowMs });
    case 'day':
      return takeOfDay(rule, state?.kind === 'day' ? state : undefined, { wanted, nowMs });
    default:
      return rule satisfies never;
  }
}

interface Wish {
  readonly wanted: number;
  readonly nowMs: number;
}

type DayRule = Extract<BucketRule, { kind: 'day' }>;
type DayState = Extract<BucketState, { kind: 'day' }>;

function takeOfDay(rule: DayRule, state: DayState | undefined, { wanted, nowMs }: Wish): Taking | Refusal {
  // A window that has begun is kept to its end, also when the time zone changes, or a clock is behind.
  const current = state !== undefined && nowMs < state.endMs ? state : { used: 0, endMs: rule.endOf(nowMs) };
  const left = rule.max - current.used;
  const validMs = current.endMs - nowMs;
  if (left < 1) return { granted: 0, retryMs: validMs };
  const granted = blockOf(left, wanted);
  return { granted, validMs, state: { kind: 'day', used: current.used + granted, endMs: current.endMs } };
}

type TokenRule = Extract<BucketRule, { kind: 'tokens' }>;
type TokenState = Extract<BucketState, { kind: 'tokens' }>;

function takeTokens(rule: TokenRule, stored: TokenState | undefined, wish: Wish): Taking | Refusal {
  const state = stored === undefined ? undefined : broughtBack(stored, wish.nowMs);
  const nowMs = Math.max(wish.nowMs, state?.atMs ?? 0);
  const filled = fill(rule, state, nowMs);
  if (filled.level + epsilon < 1) return { granted: 0, retryMs: waitForOne(rule, filled) };
  const holdMs = holdMsOf(rule);
  const granted = blockOf(filled.level + epsilon, holdMs === 0 ? 1 : wish.wanted);
  const level = Math.max(0, filled.level - granted);
  const held: readonly Held[] = granted > 1 ? [...filled.held, [granted - 1, nowMs + holdMs]] : filled.held;
  const fullAtMs = nowMs + ((rule.burst - level) * rule.periodMs) / rule.max;
  const endMs = Math.ceil(Math.max(fullAtMs, nowMs + (held.length > 0 ? holdMsMax : 0)));
  return { granted, validMs: granted > 1 ? holdMs : 0, state: { kind: 'tokens', level, atMs: nowMs, held, endMs } };
}

/** A clock that was far ahead must not keep users waiting until the others are there. Nobody gets more by it: the level stays. */
function broughtBack(state: TokenState, nowMs: number): TokenState {
  if (state.atMs <= nowMs + clockMarginMs) return state;
  const held = state.held.map(([count]): Held => [count, nowMs + holdMsMax]);
  return { ...state, atMs: nowMs, held };
}

function blockOf(left: number, wanted: number): number {
  return Math.min(wanted, Math.floor(left), Math.max(1, Math.floor(left * blockShare)));
}

/** Such that blocks never keep a bucket from filling as fast as it is drawn from. */
function holdMsOf({ max, burst, periodMs }: TokenRule): number {
  const holdMs = Math.min(holdMsMax, Math.floor((heldShare * burst * periodMs) / max));
  return holdMs < holdMsMin ? 0 : holdMs;
}

type Filled = Pick<TokenState, 'level' | 'held'> & { readonly atMs: number };

/** What a bucket holds at `nowMs`. What may still be used leaves no room for new tokens; it makes room when its time is over. */
function fill({ max, burst, periodMs }: TokenRule, state: TokenState | undefined, nowMs: number): Filled {
  if (state === undefined) return { level: max === 0 ? 0 : burst, held: [], atMs: nowMs };
  const perMs = max / periodMs;
  let { level, atMs } = state;
  let inBlocks = state.held.reduce((sum, [count]) => sum + count, 0);
  const grow = (toMs: number): void => {
    level = Math.max(0, Math.min(level + perMs * (toMs - atMs), burst - inBlocks));
    atMs = toMs;
  };
  const over = state.held.filter(([, untilMs]) => untilMs <= nowMs);
  for (const [count, untilMs] of over) {
    grow(Math.max(atMs, untilMs));
    inBlocks -= count;
  }
  grow(nowMs);
  return { level, atMs, held: state.held.filter(([, untilMs]) => untilMs > nowMs) };
}

function waitForOne({ max, burst, periodMs }: TokenRule, { level, held, atMs }: Filled): number {
  if (max === 0) return periodMs;
  const inBlocks = held.reduce((sum, [count]) => sum + count, 0);
  const [first] = held;
  // No room for a whole one until the first block's time is over.
  if (burst - inBlocks < 1 && first !== undefined) return Math.ceil(first[1] - atMs);
  return Math.max(1, Math.ceil(((1 - level) * periodMs) / max));
}
