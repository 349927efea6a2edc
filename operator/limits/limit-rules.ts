import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import type { LimitPeriod, LimitRule, LimitRules } from '#contract/quota.ts';
import { limitRulesMax } from '#contract/quota.ts';
import type { Bound } from '#operator/policy/bound-policies.ts';

import type { BucketRule } from './bucket.ts';
import { endOfDay, isTimeZone } from './calendar-day.ts';

/** A limit as declared: what a sidecar has to know of it, and how it is counted. */
export interface CountedRule {
  readonly rule: LimitRule;
  readonly bucket: BucketRule;
}

const periodsMs: Readonly<Record<Exclude<LimitPeriod, 'Day'>, number>> = {
  Second: 1_000,
  Minute: 60_000,
  Hour: 3_600_000,
};

const defaultTimeZone = 'UTC';

type Limits = NonNullable<UserKeyPolicy['spec']['limits']>;
type Declared = NonNullable<Limits['requests']>[number];

type Policies = Pick<Bound, 'policies'>;

/** Pure. Every limit of the policies: all of them hold. More than a sidecar can hold lets nobody through. */
export function countedRules(bound: Policies): readonly CountedRule[] {
  const all = declaredRules(bound);
  return all.length <= limitRulesMax ? all : [tooMany];
}

/** Pure. What buckets can be asked for, whoever asks: proxies know which are their user's. */
export function countableRules(bound: Policies): readonly CountedRule[] {
  return [...declaredRules(bound), tooMany];
}

function declaredRules({ policies }: Policies): readonly CountedRule[] {
  return policies.flatMap(({ metadata, spec: { limits } }) => {
    if (limits === undefined) return [];
    const requests = (limits.requests ?? []).map((declared) =>
      counted(`${metadata.name}/${declared.per}`, declared, limits),
    );
    const tools = (limits.tools ?? []).map(({ match, ...declared }) => {
      const { rule, bucket } = counted(`${metadata.name}/${declared.per}/${match}`, declared, limits);
      return { rule: { ...rule, match }, bucket };
    });
    return [...requests, ...tools];
  });
}

/** Pure. What a sidecar is told; undefined where nothing is limited. */
export function limitRules(bound: Policies): LimitRules | undefined {
  const rules = countedRules(bound).map(({ rule }) => rule);
  if (rules.length === 0) return undefined;
  const isClosed = bound.policies.some(({ spec }) => spec.limits?.onStoreFailure === 'Closed');
  return { rules, onStoreFailure: isClosed ? 'Closed' : 'Open' };
}

function counted(bucket: string, { per, max, burst }: Declared, { timeZone = defaultTimeZone }: Limits): CountedRule {
  const rule = { bucket, per, max };
  if (per === 'Day') {
    const zone = isTimeZone(timeZone) ? timeZone : defaultTimeZone;
    return { rule, bucket: { kind: 'day', max, endOf: (nowMs) => endOfDay(zone, nowMs) } };
  }
  return { rule, bucket: { kind: 'tokens', max, burst: burst ?? Math.max(1, max), periodMs: periodsMs[per] } };
}

const tooMany = counted('too-many-limits', { per: 'Day', max: 0 }, {});
