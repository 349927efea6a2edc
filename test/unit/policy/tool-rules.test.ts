import { describe, expect, test } from 'vitest';

import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import { parseWatchMessage } from '#contract/parse.ts';
import { type ToolRules, watchLineBytesMax } from '#contract/watch.ts';
import { policySnapshot } from '#operator/broker/policy-snapshot.ts';
import { bind } from '#operator/policy/bound-policies.ts';
import { toolRules as toolRulesOf } from '#operator/policy/tool-rules.ts';

import { policy, server } from '../controllers/fixtures.ts';

type Tools = NonNullable<UserKeyPolicy['spec']['tools']>;

function toolRules(policies: readonly UserKeyPolicy[]): readonly ToolRules[] {
  return toolRulesOf(bind(server(), policies, { kind: 'everyUser' }));
}

function rulesOf(...tools: readonly Tools[]): unknown {
  return toolRules(tools.map((one, index) => policy({ name: `p-${index}`, tools: one })));
}

describe('tool rules', () => {
  test('are none where no policy speaks of tools', () => {
    expect(toolRules([policy(), policy({ name: 'other', keys: { required: ['A'] } })])).toEqual([]);
    expect(rulesOf({})).toEqual([]);
    expect(policySnapshot(server(), [policy()])).not.toHaveProperty('tools');
  });

  test('deny what any policy denies, and allow what each list allows', () => {
    expect(rulesOf({ deny: ['a', 'b'], allow: ['x'] }, { deny: ['b', 'c'] }, { allow: ['x', 'y'] })).toEqual([
      { deny: ['a', 'b', 'c'] },
      { allow: ['x'] },
      { allow: ['x', 'y'] },
    ]);
  });

  test('keep an empty list of what may be called: that is nothing', () => {
    expect(rulesOf({ allow: [] })).toEqual([{ allow: [] }]);
  });

  test('leave out policies of other servers and namespaces', () => {
    const tools = { deny: ['a'] };
    const others = [policy({ namespace: 'team-b', tools }), policy({ servers: { names: ['gitlab'] }, tools })];
    expect(toolRules(others)).toEqual([]);
  });

  test('that are too many for a snapshot let nobody call anything', () => {
    expect(rulesOf(...Array.from({ length: 65 }, () => ({ allow: ['x'] })))).toEqual([{ allow: [] }]);
    const wide = (n: number): Tools => ({
      deny: Array.from({ length: 128 }, (_, index) => `${n}-${index}-`.padEnd(128, '\u{1f512}')),
    });
    expect(rulesOf(...Array.from({ length: 20 }, (_, n) => wide(n)))).toEqual([{ allow: [] }]);
  });

  test('at their largest keep to the contract with sidecars', () => {
    const deny = (n: number) => Array.from({ length: 128 }, (_, index) => `${n}-${index}`.padEnd(40, 'x'));
    const policies = Array.from({ length: 60 }, (_, n) =>
      policy({ name: `p-${n}`, tools: { deny: deny(n), allow: ['\u{1f512}'.repeat(128)] } }),
    );
    const snapshot = policySnapshot(server(), policies);
    expect(snapshot.tools).toHaveLength(61);
    const line = JSON.stringify({ kind: 'snapshot', revision: '1', policy: snapshot });
    expect(Buffer.byteLength(line)).toBeLessThan(watchLineBytesMax);
    expect(parseWatchMessage(JSON.parse(line))).toMatchObject({ policy: { tools: snapshot.tools } });
  });
});
