import type { LimitRule, QuotaResponse, QuotaWish } from '../contract/quota.ts';
import { quotaWantedMax } from '../contract/quota.ts';

/** What becomes of one request. `unknown`: nobody can count right now. */
export type LimitVerdict =
  | { readonly kind: 'granted' }
  | { readonly kind: 'limited'; readonly rule: LimitRule; readonly retryMs: number }
  | { readonly kind: 'unknown' };

export interface LimiterOptions {
  /** Asks the broker. Rejects when it does not answer. */
  readonly ask: (subjectKey: string, wishes: readonly QuotaWish[]) => Promise<QuotaResponse>;
  /** Monotonic. */
  readonly nowMs: () => number;
}

/** Users whose blocks are kept; those of the one unused for longest are lost. */
export const limitedUsersMax = 10_000;
/** Largest block that is asked for. */
const wantedMax = 64;
/** Longest that a request waits for its turn among others of the same user. */
const waitMsMax = 5_000;
/** After a failure nobody asks for this long, so that requests of a policy that lets them pass do not wait. */
export const askAgainMs = 1_000;
/** Longest that "nothing left" is believed without asking. */
const refusalMsMax = 2_000;

interface Block {
  left: number;
  expiresAtMs: number;
  /** Grows while blocks are used up, so that a busy user asks less and a quiet one loses nothing. */
  wanted: number;
  /** Nothing is left until then. */
  refusedUntilMs: number;
  /** How long it really lasts. */
  retryAtMs: number;
}

interface User {
  readonly blocks: Map<string, Block>;
  asking: Promise<void> | undefined;
  waiting: number;
}

const granted: LimitVerdict = { kind: 'granted' };

/** The blocks that this proxy holds of the limits of one server's users. */
export class Limiter {
  readonly #options: LimiterOptions;
  /** In order of last use. */
  readonly #users = new Map<string, User>();
  #silentUntilMs = 0;

  constructor(options: LimiterOptions) {
    this.#options = options;
  }

  /** At once where blocks are there, or where nothing can be had. */
  take(subjectKey: string, rules: readonly LimitRule[]): LimitVerdict | Promise<LimitVerdict> {
    const user = this.#userOf(subjectKey);
    return this.#decide(user, rules) ?? this.#wait(subjectKey, user, rules);
  }

  async #wait(subjectKey: string, user: User, rules: readonly LimitRule[]): Promise<LimitVerdict> {
    const untilMs = this.#options.nowMs() + waitMsMax;
    user.waiting += 1;
    try {
      while (this.#options.nowMs() < untilMs) {
        // Whoever comes first after an answer uses what it brought: the first of a block is meant to be used at once.
        user.asking ??= this.#ask(subjectKey, user, rules).finally(() => (user.asking = undefined));
        await user.asking;
        const verdict = this.#decide(user, rules);
        if (verdict !== undefined) return verdict;
      }
      return { kind: 'unknown' };
    } finally {
      user.waiting -= 1;
    }
  }

  /** Takes one of each, or says why not; undefined: the broker has to be asked. */
  #decide(user: User, rules: readonly LimitRule[]): LimitVerdict | undefined {
    const nowMs = this.#options.nowMs();
    let isThere = true;
    for (const rule of rules) {
      const block = user.blocks.get(rule.bucket);
      if (block !== undefined && isUsable(block, nowMs)) continue;
      isThere = false;
      if (block !== undefined && nowMs < block.refusedUntilMs)
        return { kind: 'limited', rule, retryMs: Math.max(1, Math.ceil(block.retryAtMs - nowMs)) };
    }
    if (!isThere) return nowMs < this.#silentUntilMs ? { kind: 'unknown' } : undefined;
    for (const { bucket } of rules) takeOne(user.blocks.get(bucket));
    return granted;
  }

  async #ask(subjectKey: string, user: User, rules: readonly LimitRule[]): Promise<void> {
    const askedAtMs = this.#options.nowMs();
    const lacking = rules.filter(({ bucket }) => !isUsable(blockOf(user, bucket), askedAtMs));
    const wishes = lacking.map(({ bucket }) => ({
      bucket,
      wanted: Math.min(quotaWantedMax, Math.max(user.waiting, blockOf(user, bucket).wanted)),
    }));
    try {
      const answer = await this.#options.ask(subjectKey, wishes);
      this.#note(user, answer, askedAtMs);
    } catch {
      this.#silentUntilMs = this.#options.nowMs() + askAgainMs;
    }
  }

  #note(user: User, answer: QuotaResponse, askedAtMs: number): void {
    const nowMs = this.#options.nowMs();
    if (answer.kind === 'limited') {
      const block = blockOf(user, answer.bucket);
      block.retryAtMs = nowMs + answer.retryMs;
      block.refusedUntilMs = nowMs + Math.min(answer.retryMs, refusalMsMax);
      return;
    }
    for (const { bucket, granted: left, validMs } of answer.blocks) {
      const block = blockOf(user, bucket);
      block.wanted = nextWanted(block, askedAtMs);
      block.left = left;
      // Even a block without time is there for the request that asked.
      block.expiresAtMs = Math.max(askedAtMs + validMs, nowMs + usedAtOnceMs);
    }
  }

  #userOf(subjectKey: string): User {
    const known = this.#users.get(subjectKey) ?? { blocks: new Map<string, Block>(), asking: undefined, waiting: 0 };
    this.#users.delete(subjectKey);
    this.#users.set(subjectKey, known);
    if (this.#users.size > limitedUsersMax) this.#forgetOldest();
    return known;
  }

  #forgetOldest(): void {
    for (const key of this.#users.keys()) {
      this.#users.delete(key);
      return;
    }
  }
}

/** Within one turn of the event loop. */
const usedAtOnceMs = 5;

function isUsable(block: Block, nowMs: number): boolean {
  return block.left > 0 && nowMs < block.expiresAtMs;
}

function takeOne(block: Block | undefined): void {
  if (block !== undefined) block.left -= 1;
}

function blockOf({ blocks }: User, bucket: string): Block {
  const known = blocks.get(bucket);
  if (known !== undefined) return known;
  const fresh = { left: 0, expiresAtMs: 0, wanted: 1, refusedUntilMs: 0, retryAtMs: 0 };
  blocks.set(bucket, fresh);
  return fresh;
}

/** Twice as many when the last block was used up in its time; half when some of it was lost. */
function nextWanted({ left, wanted, expiresAtMs }: Block, nowMs: number): number {
  if (left > 0) return Math.max(1, Math.floor(wanted / 2));
  return nowMs <= expiresAtMs + idleMs || expiresAtMs === 0 ? Math.min(wantedMax, wanted * 2) : wanted;
}

const idleMs = 1_000;
