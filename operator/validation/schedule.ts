import { randomUUID } from 'node:crypto';

import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import { type Clock, sleep } from '#operator/kube/clock.ts';
import type { Store } from '#operator/kube/informer.ts';
import type { Log } from '#operator/kube/observers.ts';
import type { KeyAddress, KeyStore } from '#operator/keystore/key-store.ts';
import { versionOnRecord } from '#operator/keystore/version.ts';
import { effectiveHeaders, policiesOf } from '#operator/policy/effective-headers.ts';
import type { TenancyIndex } from '#operator/tenancy/tenancy.ts';

import { budgetLimits, type ProbeBudget } from './budget.ts';
import { dueAtMs } from './due.ts';
import { type DueKey, planProbes } from './plan.ts';
import type { Prober } from './prober.ts';
import { type ValidationRules, validationRules } from './rules.ts';
import type { KeyTrials } from './trials.ts';

export interface ProbeScheduleOptions {
  readonly sources: {
    readonly mcpServers: Pick<Store<McpServer>, 'list'>;
    readonly userKeyPolicies: Pick<Store<UserKeyPolicy>, 'listNamespace'>;
    readonly userKeys: Pick<Store<UserKey>, 'listNamespace'>;
  };
  readonly tenancy: TenancyIndex;
  readonly keyStore: Pick<KeyStore, 'open' | 'userKeyNameOf'>;
  readonly prober: Pick<Prober, 'upstreamsOf'>;
  readonly trials: Pick<KeyTrials, 'try' | 'record'>;
  readonly budget: ProbeBudget;
  readonly clock: Clock;
  readonly now: () => Date;
  readonly log: Log;
}

export interface ProbeSchedule {
  /** Resolves when no probe is under way any more. */
  stop(): Promise<void>;
}

/** How often it is looked which keys are due. */
export const lookMs = 5_000;
/** After which a key that could not be tried for a reason of ours is looked at again. */
const troubleMs = 60_000;

const actor = 'mcp-keyring-operator, on schedule';

/** A stored key with what it is probed by. */
interface Candidate extends DueKey {
  readonly userKey: UserKey;
  readonly server: McpServer;
  readonly address: KeyAddress;
  readonly version: number;
  readonly rules: ValidationRules;
}

/** Probes stored keys when they are due, on the leader only. What is due stands in the UserKeys, so another leader goes on from there. */
export function startProbeSchedule(options: ProbeScheduleOptions): ProbeSchedule {
  const schedule = new Schedule(options);
  const stopping = new AbortController();
  const loop = (async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      schedule.look();
      await sleep(options.clock, lookMs, stopping.signal);
    }
  })();
  return {
    stop: async () => {
      stopping.abort();
      await loop;
      await schedule.settled();
    },
  };
}

class Schedule {
  readonly #options: ProbeScheduleOptions;
  readonly #running = new Map<string, Promise<void>>();
  /** Probes in a row without a verdict. */
  readonly #attempts = new Map<string, number>();
  readonly #notBeforeMs = new Map<string, number>();

  constructor(options: ProbeScheduleOptions) {
    this.#options = options;
  }

  /** Starts what is due and fits the budgets. */
  look(): void {
    const { budget, now } = this.#options;
    const nowMs = now().getTime();
    const candidates = this.#candidates(nowMs);
    const world = {
      nowMs,
      limits: budgetLimits.scheduled,
      runningTotal: budget.runningTotal,
      useOf: (upstream: string) => budget.useOf(upstream),
    };
    for (const { id } of planProbes(candidates, world)) {
      const candidate = candidates.find((one) => one.id === id);
      if (candidate !== undefined) this.#start(candidate);
    }
  }

  async settled(): Promise<void> {
    await Promise.all(this.#running.values());
  }

  #candidates(nowMs: number): readonly Candidate[] {
    const { sources } = this.#options;
    return sources.mcpServers.list().flatMap((server) => {
      const { namespace = '' } = server.metadata;
      const rules = validationRules(policiesOf(server, sources.userKeyPolicies.listNamespace(namespace)));
      return rules.probes.length === 0 ? [] : this.#candidatesOf(server, rules, nowMs);
    });
  }

  #candidatesOf(server: McpServer, rules: ValidationRules, nowMs: number): readonly Candidate[] {
    const { namespace = '', name, uid = '' } = server.metadata;
    const { sources, tenancy, keyStore, prober } = this.#options;
    const organization = tenancy.organizationOf(namespace);
    if (organization.kind !== 'organization') return [];
    const upstreams = prober.upstreamsOf(server, rules.probes);
    return sources.userKeys.listNamespace(namespace).flatMap((userKey) => {
      const version = versionOnRecord(userKey);
      const dueMs =
        version === undefined || userKey.spec.serverRef.name !== name
          ? undefined
          : dueAtMs(userKey, { version, rules, nowMs });
      const id = `${namespace}/${userKey.metadata.name}/${version}`;
      if (version === undefined || dueMs === undefined || dueMs > nowMs || this.#isHeld(id, nowMs)) return [];
      const { subject } = userKey.spec;
      const address = { organization: organization.name, server: { namespace, name }, serverUid: uid, subject };
      if (keyStore.userKeyNameOf(address) !== userKey.metadata.name) return [];
      return [{ id, upstreams, dueAtMs: dueMs, userKey, server, address, version, rules }];
    });
  }

  #isHeld(id: string, nowMs: number): boolean {
    if (this.#running.has(id)) return true;
    const notBeforeMs = this.#notBeforeMs.get(id);
    if (notBeforeMs !== undefined && notBeforeMs > nowMs) return true;
    this.#notBeforeMs.delete(id);
    return false;
  }

  #start(candidate: Candidate): void {
    const { id } = candidate;
    const work = this.#probe(candidate).catch((error: unknown) => {
      this.#hold(id);
      this.#options.log.error('a stored key could not be probed', { ...(error instanceof Error && { error }) });
    });
    this.#running.set(
      id,
      work.finally(() => this.#running.delete(id)),
    );
  }

  #hold(id: string): void {
    this.#notBeforeMs.set(id, this.#options.now().getTime() + troubleMs);
  }

  async #probe({ id, userKey, server, address, version, rules }: Candidate): Promise<void> {
    const { keyStore, trials, sources } = this.#options;
    const policies = sources.userKeyPolicies.listNamespace(address.server.namespace);
    using key = await keyStore.open(address, version);
    if (key?.version !== version) return this.#hold(id);
    const tried = await trials.try(
      {
        server,
        headers: effectiveHeaders(server, policies),
        address,
        version,
        values: key.headers,
        probes: rules.probes,
      },
      { actor, eventId: randomUUID(), limits: budgetLimits.scheduled },
    );
    if (tried === undefined || tried.finding.reason === 'Busy' || tried.finding.reason === 'HeadersMissing')
      return this.#hold(id);
    const attempts = this.#attempts.get(id) ?? 0;
    if (tried.finding.verdict === undefined) this.#attempts.set(id, attempts + 1);
    else this.#attempts.delete(id);
    await trials.record({ userKey, server, tried, version, rules, attempts });
    // The cache may be a moment behind what was just written.
    this.#hold(id);
  }
}
