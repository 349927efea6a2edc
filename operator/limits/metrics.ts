import type { Registry } from 'prom-client';
import { Counter } from 'prom-client';

import type { QuotaResponse } from '#contract/quota.ts';

import type { CountedRule } from './limit-rules.ts';
import type { LimitStoreErrorCode } from './limit-store.ts';

export interface LimitMetrics {
  answered(response: QuotaResponse, rules: readonly CountedRule[]): void;
  storeFailed(code: LimitStoreErrorCode): void;
}

/** Labels come from closed sets: neither user, server nor tool is named. */
export function limitMetrics(registry: Registry): LimitMetrics {
  const registers = [registry];
  const granted = new Counter({
    name: 'mcpkeyring_limits_granted_total',
    help: 'Requests that sidecars were granted ahead, by the kind of the limit',
    labelNames: ['kind', 'per'],
    registers,
  });
  const refused = new Counter({
    name: 'mcpkeyring_limits_refused_total',
    help: 'Questions of sidecars that a limit refused, by its kind',
    labelNames: ['kind', 'per'],
    registers,
  });
  const failures = new Counter({
    name: 'mcpkeyring_limit_store_errors_total',
    help: 'Counts that could not be kept',
    labelNames: ['code'],
    registers,
  });
  return {
    answered(response, rules) {
      const labelsOf = (bucket: string): { readonly kind: string; readonly per: string } | undefined => {
        const rule = rules.find((known) => known.rule.bucket === bucket)?.rule;
        return rule === undefined
          ? undefined
          : { kind: rule.match === undefined ? 'requests' : 'tools', per: rule.per };
      };
      const blocks = response.kind === 'granted' ? response.blocks : [];
      for (const { bucket, granted: count } of blocks) {
        const labels = labelsOf(bucket);
        if (labels !== undefined) granted.inc(labels, count);
      }
      const labels = response.kind === 'limited' ? labelsOf(response.bucket) : undefined;
      if (labels !== undefined) refused.inc(labels);
    },
    storeFailed: (code) => failures.inc({ code }),
  };
}
