/** How much of an upstream probes may take, so that trying keys is never what makes it slow or refuse. */
export interface BudgetLimits {
  /** Probes of one upstream at a time. */
  readonly runningMax: number;
  /** Probes of one upstream that begin within `windowMs`. */
  readonly startsMax: number;
  readonly windowMs: number;
  /** Probes of all upstreams at a time. */
  readonly runningTotalMax: number;
  /** Those of one organization. */
  readonly runningOrganizationMax: number;
}

/** Users who wait for an answer come first: scheduled probes leave them room, and those of one organization leave others some. */
export const budgetLimits = {
  scheduled: { runningMax: 2, startsMax: 40, windowMs: 60_000, runningTotalMax: 8, runningOrganizationMax: 8 },
  asked: { runningMax: 4, startsMax: 60, windowMs: 60_000, runningTotalMax: 16, runningOrganizationMax: 12 },
} as const satisfies Readonly<Record<string, BudgetLimits>>;

/** What is under way, and when what has begun of late began. */
export interface BudgetUse {
  readonly running: number;
  readonly startsMs: readonly number[];
}

/**
 * The name under which the probes of an organization at an upstream are counted: each has a budget of its own, so that none keeps
 * another from trying keys.
 */
export function budgetName(organization: string, upstream: string): string {
  return `${organization} ${upstream}`;
}

/** Upstreams remembered; one that nothing is under way at is forgotten first. */
const upstreamsMax = 4_096;

/** Counts probes by upstream, as `budgetName` gives it. */
export class ProbeBudget {
  readonly #nowMs: () => number;
  readonly #uses = new Map<string, { running: number; startsMs: number[] }>();
  /** By organization. */
  readonly #runningOf = new Map<string, number>();
  #runningTotal = 0;

  constructor(options: { readonly nowMs: () => number }) {
    this.#nowMs = options.nowMs;
  }

  get runningTotal(): number {
    return this.#runningTotal;
  }

  useOf(upstream: string): BudgetUse {
    return this.#uses.get(upstream) ?? { running: 0, startsMs: [] };
  }

  /** A place at each of `upstreams`, or at none. */
  enter(
    { organization, upstreams }: { readonly organization: string; readonly upstreams: readonly string[] },
    limits: BudgetLimits,
  ): Disposable | undefined {
    const nowMs = this.#nowMs();
    const distinct = [...new Set(upstreams)];
    if (this.#runningTotal >= limits.runningTotalMax) return undefined;
    const running = this.#runningOf.get(organization) ?? 0;
    if (running >= limits.runningOrganizationMax) return undefined;
    if (!distinct.every((upstream) => hasRoom(this.useOf(upstream), limits, nowMs))) return undefined;
    this.#runningTotal += 1;
    this.#runningOf.set(organization, running + 1);
    for (const upstream of distinct) this.#begin(upstream, { nowMs, windowMs: limits.windowMs });
    return {
      [Symbol.dispose]: () => {
        this.#runningTotal -= 1;
        this.#leave(organization);
        for (const upstream of distinct) this.#end(upstream);
      },
    };
  }

  #leave(organization: string): void {
    const left = (this.#runningOf.get(organization) ?? 1) - 1;
    if (left > 0) this.#runningOf.set(organization, left);
    else this.#runningOf.delete(organization);
  }

  #begin(upstream: string, { nowMs, windowMs }: { readonly nowMs: number; readonly windowMs: number }): void {
    const use = this.#uses.get(upstream) ?? { running: 0, startsMs: [] };
    use.running += 1;
    use.startsMs = [...use.startsMs.filter((atMs) => nowMs - atMs < windowMs), nowMs];
    this.#uses.delete(upstream);
    this.#uses.set(upstream, use);
    if (this.#uses.size > upstreamsMax) this.#forgetIdle();
  }

  #end(upstream: string): void {
    const use = this.#uses.get(upstream);
    if (use !== undefined) use.running -= 1;
  }

  #forgetIdle(): void {
    for (const [upstream, { running }] of this.#uses) {
      if (running > 0) continue;
      this.#uses.delete(upstream);
      return;
    }
  }
}

/** Pure. */
export function hasRoom({ running, startsMs }: BudgetUse, limits: BudgetLimits, nowMs: number): boolean {
  if (running >= limits.runningMax) return false;
  return startsMs.filter((atMs) => nowMs - atMs < limits.windowMs).length < limits.startsMax;
}
