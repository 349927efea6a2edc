import { describe, expect, test } from 'vitest';

import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import { type LimitRules, limitRulesMax } from '#contract/quota.ts';
import { parseLimitRules } from '#contract/parse-quota.ts';
import { countedRules, limitRules as rulesOf } from '#operator/limits/limit-rules.ts';
import { bind } from '#operator/policy/bound-policies.ts';
import { takeAll } from '#operator/limits/take-all.ts';
import { mcpServer, policyOf } from '#test/support/broker-world.ts';

const server = mcpServer();

function limitRules(policies: readonly UserKeyPolicy[]): LimitRules | undefined {
  return rulesOf(bind(server, policies, { kind: 'everyUser' }));
}

describe('the limits of a server', () => {
  test('are none where no policy has any, so that nobody has to look', () => {
    expect(limitRules([policyOf('keys', { keys: { required: ['Authorization'] } })])).toBeUndefined();
    expect(limitRules([policyOf('limits', { limits: { onStoreFailure: 'Closed' } })])).toBeUndefined();
  });

  test('are those of every policy, each counted for itself, and Closed wins', () => {
    const minute = { requests: [{ per: 'Minute', max: 60 } as const] };
    const limits = limitRules([
      policyOf('b', { limits: { ...minute, onStoreFailure: 'Closed' } }),
      policyOf('a', { limits: { ...minute, tools: [{ match: 'create_*', per: 'Minute', max: 5 }] } }),
    ]);
    expect(limits).toEqual({
      rules: [
        { bucket: 'a/Minute', per: 'Minute', max: 60 },
        { bucket: 'a/Minute/create_*', per: 'Minute', max: 5, match: 'create_*' },
        { bucket: 'b/Minute', per: 'Minute', max: 60 },
      ],
      onStoreFailure: 'Closed',
    });
    expect(parseLimitRules(JSON.parse(JSON.stringify(limits)), 'limits')).toEqual(limits);
  });

  test('let a user have max at once where no burst is said', () => {
    const limits = { requests: [{ per: 'Minute', max: 60 } as const, { per: 'Hour', max: 90, burst: 7 } as const] };
    const rules = countedRules({ policies: [policyOf('a', { limits })] });
    expect(rules.map(({ bucket }) => ('burst' in bucket ? bucket.burst : undefined))).toEqual([60, 7]);
  });

  test('let nobody through where there are more than a sidecar can hold', () => {
    const tools = Array.from({ length: 32 }, (_, index) => ({ match: `t${index}`, per: 'Day', max: 1 }) as const);
    const policies = Array.from({ length: limitRulesMax / 32 + 1 }, (_, index) =>
      policyOf(`p${index}`, { limits: { tools } }),
    );
    expect(limitRules(policies)?.rules).toEqual([{ bucket: 'too-many-limits', per: 'Day', max: 0 }]);
    const wishes = [{ bucket: 'too-many-limits', wanted: 1 }];
    const { response } = takeAll(countedRules({ policies }), undefined, { wishes, nowMs: 0 });
    expect(response.kind).toBe('limited');
  });
});
