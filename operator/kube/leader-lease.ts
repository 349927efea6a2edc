import { linkAbort } from './abort-link.ts';
import type { KubeClient } from './client.ts';
import { type Clock, sleep, systemClock, type Timer } from './clock.ts';
import { isKubeError, KubeError } from './errors.ts';
import { type Candidate, decideLease, freshSpec, type Observation, observe, releasedSpec } from './lease-record.ts';
import { type LeaderObserver, type Log, silentLog } from './observers.ts';
import { type Lease, leases } from './resources.ts';

export interface LeaderTiming {
  /** How long other candidates leave an unchanged record alone. */
  readonly leaseMs: number;
  /** How long we act as leader after the last renewal; what it lacks to `leaseMs` is the margin for a write under way. */
  readonly renewDeadlineMs: number;
  readonly retryMs: number;
}

export const leaderTiming: LeaderTiming = { leaseMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2000 };

export interface LeaderLeaseOptions {
  /** Without a fence: this one must be able to take the lease. */
  readonly client: KubeClient;
  readonly namespace: string;
  readonly name: string;
  /** Unique for each process: `<pod>_<uuid>`. */
  readonly identity: string;
  /** Start the leader's work; stop it when `signal` aborts. */
  readonly onElected: (signal: AbortSignal) => void;
  /** Leadership ended without being given up. The process is expected to exit: there is no second term. */
  readonly onLost: () => void;
  readonly timing?: LeaderTiming;
  readonly clock?: Clock;
  readonly nowUnixMs?: () => number;
  readonly random?: () => number;
  readonly observer?: LeaderObserver;
  readonly log?: Log;
}

export interface LeaderLease {
  start(): void;
  /** True only while `assertLeader` would pass. */
  readonly isLeader: boolean;
  /**
   * The fence: passes only while the last renewal is younger than the renew deadline, by this process's monotonic clock.
   *
   * @throws KubeError `NotLeader`
   */
  assertLeader(): void;
  /** Ends the candidacy and gives the lease back. Stop the leader's work first: the fence comes down here. */
  stop(): Promise<void>;
}

export function createLeaderLease(options: LeaderLeaseOptions): LeaderLease {
  return new LeaseHolder(options);
}

/** Candidates that failed together do not come back together. */
const jitterMax = 0.2;

/** `raced`: somebody wrote in between, which says nothing about who holds it. */
type Outcome = 'taken' | 'held' | 'raced';

type Term =
  | { readonly kind: 'candidate' }
  | { readonly kind: 'leader'; readonly renewedAtMs: number; readonly over: AbortController }
  | { readonly kind: 'over' };

class LeaseHolder implements LeaderLease {
  readonly #options: LeaderLeaseOptions;
  readonly #timing: LeaderTiming;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #stopping = new AbortController();
  #term: Term = { kind: 'candidate' };
  #observed: Observation | undefined;
  #deadline: Timer | undefined;
  #running: Promise<void> | undefined;

  constructor(options: LeaderLeaseOptions) {
    this.#options = options;
    this.#timing = options.timing ?? leaderTiming;
    this.#clock = options.clock ?? systemClock;
    this.#log = options.log ?? silentLog;
    options.observer?.leading(false);
  }

  start(): void {
    this.#running ??= this.#run();
  }

  get isLeader(): boolean {
    return this.#term.kind === 'leader' && this.#leftMs(this.#term.renewedAtMs) > 0;
  }

  assertLeader(): void {
    if (!this.isLeader) throw new KubeError('NotLeader', 'this replica is not the leader; nothing was written');
  }

  async stop(): Promise<void> {
    const held = this.isLeader;
    this.#stopping.abort();
    this.#end();
    await this.#running;
    if (held) await this.#release();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted && this.#term.kind !== 'over') {
      await this.#attempt();
      const jitter = 1 + (this.#options.random ?? Math.random)() * jitterMax;
      await sleep(this.#clock, this.#timing.retryMs * jitter, signal);
    }
  }

  async #attempt(): Promise<void> {
    if (this.#isOverdue()) {
      this.#lost('the process stood still for longer than the lease');
      return;
    }
    const budgetMs = this.#term.kind === 'leader' ? this.#leftMs(this.#term.renewedAtMs) : this.#timing.renewDeadlineMs;
    const budget = new AbortController();
    const timer = this.#clock.setTimer(() => budget.abort(), Math.max(0, budgetMs));
    using link = linkAbort(this.#stopping.signal, budget.signal);
    try {
      // Others count from when they see the record, which is later than this: the term is never overestimated.
      const startedAtMs = this.#clock.nowMs();
      const outcome = await this.#takeOrRenew(link.signal);
      if (outcome === 'taken') this.#won(startedAtMs);
      if (outcome === 'held') this.#lost('another replica holds the lease');
    } catch (error) {
      const failure = error instanceof Error ? { error } : {};
      if (!this.#stopping.signal.aborted) this.#log.warn('cannot reach the leader lease', failure);
    } finally {
      timer.cancel();
    }
  }

  async #takeOrRenew(signal: AbortSignal): Promise<Outcome> {
    if (this.#term.kind === 'leader' && this.#observed !== undefined) {
      // While nobody else writes, the record we know is the record that is there: one call instead of two.
      const outcome = await this.#write(this.#observed, signal);
      if (outcome === 'taken') return outcome;
    }
    const ref = { namespace: this.#options.namespace, name: this.#options.name };
    const lease = await this.#options.client.get(leases, ref, { signal });
    if (lease === undefined) return await this.#create(signal);
    this.#observed = observe(this.#observed, lease, this.#clock.nowMs());
    return await this.#write(this.#observed, signal);
  }

  async #write(observed: Observation, signal: AbortSignal): Promise<Outcome> {
    const decision = decideLease(observed, this.#candidate());
    if (decision.kind === 'wait') return 'held';
    const lease = { ...observed.lease, spec: decision.spec };
    return await this.#settle(() => this.#options.client.replace(leases, lease, { signal }));
  }

  async #create(signal: AbortSignal): Promise<Outcome> {
    const { namespace, name } = this.#options;
    const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { namespace, name } };
    const spec = freshSpec(this.#candidate());
    return await this.#settle(() => this.#options.client.create(leases, { ...lease, spec }, { signal }));
  }

  async #settle(write: () => Promise<Lease>): Promise<Outcome> {
    try {
      this.#observed = observe(this.#observed, await write(), this.#clock.nowMs());
      return 'taken';
    } catch (error) {
      if (isKubeError(error, 'Conflict', 'AlreadyExists')) return 'raced';
      throw error;
    }
  }

  #candidate(): Candidate {
    return {
      identity: this.#options.identity,
      leaseSeconds: Math.ceil(this.#timing.leaseMs / 1000),
      nowMs: this.#clock.nowMs(),
      nowUnixMs: (this.#options.nowUnixMs ?? Date.now)(),
    };
  }

  #won(renewedAtMs: number): void {
    // An answer that came after the deadline or after the end does not revive the term.
    if (this.#term.kind === 'over' || this.#isOverdue() || this.#leftMs(renewedAtMs) <= 0) return;
    const first = this.#term.kind === 'candidate';
    const over = this.#term.kind === 'leader' ? this.#term.over : new AbortController();
    this.#term = { kind: 'leader', renewedAtMs, over };
    this.#watchDeadline(renewedAtMs);
    if (!first) return;
    this.#options.observer?.leading(true);
    this.#log.info('this replica is the leader');
    this.#options.onElected(over.signal);
  }

  /** The deadline passed and its timer had no chance to say so. */
  #isOverdue(): boolean {
    return this.#term.kind === 'leader' && !this.isLeader;
  }

  #watchDeadline(renewedAtMs: number): void {
    this.#deadline?.cancel();
    this.#deadline = this.#clock.setTimer(
      () => this.#lost('the lease could not be renewed in time'),
      Math.ceil(Math.max(0, this.#leftMs(renewedAtMs))),
    );
  }

  #lost(reason: string): void {
    if (this.#term.kind !== 'leader') return;
    this.#end();
    this.#log.error('leadership lost', { reason });
    this.#options.onLost();
  }

  #end(): void {
    this.#deadline?.cancel();
    const term = this.#term;
    this.#term = { kind: 'over' };
    if (term.kind !== 'leader') return;
    this.#options.observer?.leading(false);
    term.over.abort();
  }

  async #release(): Promise<void> {
    const { client, namespace, name, identity } = this.#options;
    const budget = { signal: AbortSignal.timeout(this.#timing.retryMs) };
    try {
      // Read again: a renewal that was under way may have changed it.
      const lease = await client.get(leases, { namespace, name }, budget);
      if (lease?.spec?.holderIdentity !== identity) return;
      await client.replace(leases, { ...lease, spec: releasedSpec(lease, this.#candidate().nowUnixMs) }, budget);
    } catch (error) {
      this.#log.warn('cannot release the leader lease', error instanceof Error ? { error } : {});
    }
  }

  #leftMs(renewedAtMs: number): number {
    return renewedAtMs + this.#timing.renewDeadlineMs - this.#clock.nowMs();
  }
}
