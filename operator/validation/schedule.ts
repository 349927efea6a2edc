import { randomUUID } from 'node:crypto';

import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import { type Clock, sleep } from '#operator/kube/clock.ts';
import type { Store } from '#operator/kube/informer.ts';
import type { Log } from '#operator/kube/observers.ts';
import type { KeyAddress, KeyStore } from '#operator/keystore/key-store.ts';
import { versionOnRecord } from '#operator/keystore/version.ts';
import { effectivePolicy, policyUserOf } from '#operator/policy/effective-policy.ts';
import { keyUse, takesOwnKeys } from '#operator/shared-keys/key-use.ts';
import type { TenancyIndex } from '#operator/tenancy/tenancy.ts';

import { budgetLimits, budgetName, type ProbeBudget } from './budget.ts';
import { dueAtMs } from './due.ts';
import { type DueKey, planProbes } from './plan.ts';
import type { Prober } from './prober.ts';
import { type ProbedServer, probedServer, type ProbeTerms } from './probed-server.ts';
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
interface Candidate extends DueKey, ProbeTerms {
  readonly userKey: UserKey;
  readonly server: McpServer;
  readonly address: KeyAddress;
  readonly version: number;
}

interface ProbedNamespace {
  readonly namespace: string;
  readonly organization: string;
  /** By name. */
  readonly probed: ReadonlyMap<string, ProbedServer>;
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
    for (const candidate of planProbes(candidates, world)) this.#start(candidate);
  }

  async settled(): Promise<void> {
    await Promise.all(this.#running.values());
  }

  /** Once over the UserKeys of each namespace in which something is probed, however many servers it has. */
  #candidates(nowMs: number): readonly Candidate[] {
    const { sources, tenancy } = this.#options;
    return [...Map.groupBy(sources.mcpServers.list(), ({ metadata }) => metadata.namespace ?? '')].flatMap(
      ([namespace, servers]) => {
        const organization = tenancy.organizationOf(namespace);
        if (organization.kind !== 'organization') return [];
        // What is stored and not used is not tried either.
        const using = servers.filter((server) => takesOwnKeys(keyUse(server, organization.plan)));
        const probed = this.#probedOf(namespace, using);
        return probed.size === 0 ? [] : this.#dueIn({ namespace, organization: organization.name, probed }, nowMs);
      },
    );
  }

  #probedOf(namespace: string, servers: readonly McpServer[]): ReadonlyMap<string, ProbedServer> {
    const { sources, prober } = this.#options;
    const policies = sources.userKeyPolicies.listNamespace(namespace);
    return new Map(
      servers.flatMap((server) => {
        const probed = probedServer(server, policies, prober);
        return probed === undefined ? [] : [[server.metadata.name, probed] as const];
      }),
    );
  }

  #dueIn({ namespace, organization, probed }: ProbedNamespace, nowMs: number): readonly Candidate[] {
    const due: Candidate[] = [];
    for (const userKey of this.#options.sources.userKeys.listNamespace(namespace)) {
      const at = probed.get(userKey.spec.serverRef.name);
      const version = at === undefined ? undefined : versionOnRecord(userKey);
      if (at === undefined || version === undefined) continue;
      const terms = at.termsOf(userKey);
      if (terms.rules.probes.length === 0) continue;
      const dueMs = dueAtMs(userKey, { version, rules: terms.rules, nowMs });
      if (dueMs === undefined || dueMs > nowMs) continue;
      const id = `${namespace}/${userKey.metadata.name}/${version}`;
      if (this.#isHeld(id, nowMs)) continue;
      const { name, uid = '' } = at.server.metadata;
      const address = { organization, server: { namespace, name }, serverUid: uid, subject: userKey.spec.subject };
      const upstreams = terms.upstreams.map((upstream) => budgetName(organization, upstream));
      due.push({ ...terms, upstreams, server: at.server, id, dueAtMs: dueMs, userKey, address, version });
    }
    return due;
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
    // One that was made up says nothing of its subject's key.
    if (keyStore.userKeyNameOf(address) !== userKey.metadata.name) return this.#hold(id);
    using key = await keyStore.open(address, version);
    if (key?.version !== version) return this.#hold(id);
    const tried = await trials.try(
      {
        server,
        headers: effectivePolicy(server, policies, policyUserOf(userKey)).headers,
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
