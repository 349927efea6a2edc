import type { QuotaRequest, QuotaResponse } from '#contract/quota.ts';
import type { LimitMetrics } from '#operator/limits/metrics.ts';
import { countableRules } from '#operator/limits/limit-rules.ts';
import { type LimitStore, LimitStoreError } from '#operator/limits/limit-store.ts';
import { takeAll } from '#operator/limits/take-all.ts';
import type { Log } from '#operator/kube/observers.ts';

import { bind } from '#operator/policy/bound-policies.ts';
import { organizationNameOf, type TenancyIndex } from '#operator/tenancy/tenancy.ts';

import { BrokerError } from './errors.ts';
import type { PodGate } from './pod-gate.ts';
import type { BrokerSources } from './sources.ts';
import { subjectBudget } from './subject-budget.ts';
import type { UserGate } from './user-gate.ts';

export interface QuotaServiceOptions {
  readonly podGate: Pick<PodGate, 'admit'>;
  readonly userGate: Pick<UserGate, 'admitSubject'>;
  readonly tenancy: TenancyIndex;
  readonly sources: Pick<BrokerSources, 'mcpServers' | 'userKeyPolicies'>;
  readonly store: LimitStore;
  readonly metrics: LimitMetrics;
  readonly log: Log;
  readonly now: () => Date;
}

/** Grants blocks of users' limits. What a limit allows is the policies' to say, never the sidecar's. */
export class QuotaService {
  readonly #options: QuotaServiceOptions;

  constructor(options: QuotaServiceOptions) {
    this.#options = options;
  }

  /** @throws BrokerError ERR_POD_UNAUTHENTICATED, ERR_POD_FORBIDDEN, ERR_TOO_MANY_SUBJECTS, ERR_SERVER_NOT_FOUND, ERR_LIMITS_UNAVAILABLE */
  async take(request: QuotaRequest, podToken: string | undefined): Promise<QuotaResponse> {
    const { podGate, userGate, tenancy, sources, now, store, metrics } = this.#options;
    const { server: ref, subjectKey, buckets: wishes } = request;
    const pod = await podGate.admit({ token: podToken, server: ref, purpose: 'leasing', action: 'quota' });
    // Users of a lease are known there; made up ones would fill the store.
    userGate.admitSubject(subjectBudget(pod, ref), subjectKey);
    const organization = organizationNameOf(tenancy, ref.namespace);
    const server = sources.mcpServers.store.get(ref.namespace, ref.name);
    // In a namespace of nobody, or of several, nobody gets a lease either.
    if (server === undefined || organization === undefined) throw new BrokerError('ERR_SERVER_NOT_FOUND');
    const policies = sources.userKeyPolicies.store.listNamespace(ref.namespace);
    // Which of them are about this user the proxy was told with the lease.
    const rules = countableRules(bind(server, policies, { kind: 'someUser' }));
    let response: QuotaResponse = { kind: 'granted', blocks: [] };
    await this.#counted(() =>
      store.update({ organization, key: `${ref.namespace}/${ref.name}/${subjectKey}` }, (counts) => {
        const taken = takeAll(rules, counts, { wishes, nowMs: now().getTime() });
        ({ response } = taken);
        return taken.counts;
      }),
    );
    metrics.answered(response, rules);
    return response;
  }

  async #counted(update: () => Promise<void>): Promise<void> {
    try {
      await update();
    } catch (error) {
      if (!(error instanceof LimitStoreError)) throw error;
      this.#options.metrics.storeFailed(error.code);
      this.#options.log.warn('limits cannot be counted', { code: error.code });
      throw new BrokerError('ERR_LIMITS_UNAVAILABLE', { cause: error });
    }
  }
}
