import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ToolRules } from '#contract/watch.ts';
import { toolFilter, toolNameCharsMax } from '#sidecar/mcp/tool-rules.ts';

function allows(rules: readonly ToolRules[], tool: string): boolean {
  return toolFilter(rules)?.allows(tool) ?? true;
}

describe('a tool may be called', () => {
  test('when there are no rules, which nobody then has to ask', () => {
    expect(toolFilter(undefined)).toBeUndefined();
    expect(toolFilter([])).toBeUndefined();
  });

  test.each<[readonly ToolRules[], string, boolean]>([
    [[{}], 'a', true],
    [[{ allow: ['a'] }], 'a', true],
    [[{ allow: ['a'] }], 'A', false],
    [[{ allow: ['a'] }], 'ab', false],
    [[{ allow: [] }], 'a', false],
    [[{ deny: ['a'] }], 'a', false],
    [[{ deny: ['a'] }], 'b', true],
    [[{ allow: ['a', 'b'], deny: ['a'] }], 'a', false],
    [[{ allow: ['*'], deny: ['drop_*'] }], 'drop_table', false],
    [[{ allow: ['*'], deny: ['drop_*'] }], 'drop_', false],
    [[{ allow: ['*'], deny: ['drop_*'] }], 'drop', true],
    [[{ allow: ['get_*', 'list_*'] }], 'list_notes', true],
    [[{ allow: ['get_*', 'list_*'] }], 'forget_notes', false],
    [[{ allow: ['a'] }, { allow: ['b'] }], 'a', false],
    [[{ allow: ['a', 'b'] }, { allow: ['b'] }], 'b', true],
    [[{ allow: ['a'] }, { deny: ['a'] }], 'a', false],
    [[{ allow: ['*'] }], '', true],
    [[{ deny: ['__proto__'] }], '__proto__', false],
  ])('by %j: %s is %s', (rules, tool, expected) => {
    expect(allows(rules, tool)).toBe(expected);
  });

  test.each([
    ['a*', 'a', true],
    ['*a', 'ba', true],
    ['*a', 'ab', false],
    ['a*a', 'a', false],
    ['a*a', 'aa', true],
    ['ab*bc', 'abc', false],
    ['*b*', 'abc', true],
    ['*bc*b*', 'abcb', true],
    ['*bc*cb*', 'abcb', false],
    ['a**b', 'ab', true],
    ['a.b', 'axb', false],
    ['a?', 'ab', false],
    ['[ab]', 'a', false],
    ['*', 'anything\nat all', true],
  ])('by the pattern %s: %s is %s', (pattern, tool, expected) => {
    expect(allows([{ allow: [pattern] }], tool)).toBe(expected);
  });

  test('by a pattern exactly when a regular expression says so', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '*', '.', '_'), maxLength: 12 });
    fc.assert(
      fc.property(text, text, (pattern, tool) => {
        const expression = new RegExp(`^${pattern.replaceAll('.', '[.]').replaceAll('*', '.*')}$`, 's');
        expect(allows([{ allow: [pattern] }], tool)).toBe(expression.test(tool));
      }),
      { numRuns: 2_000 },
    );
  });

  test('only under a name that a tool can have', () => {
    const long = 'x'.repeat(toolNameCharsMax + 1);
    expect(allows([{ allow: ['*'] }], long)).toBe(false);
    expect(allows([{ deny: ['y'] }], long)).toBe(false);
    expect(allows([{ deny: ['y'] }], long.slice(1))).toBe(true);
  });
});

test('judges hostile names and patterns in time, and keeps no more of them than it must', () => {
  const rules = [{ deny: Array.from({ length: 128 }, (_, index) => `${'*a'.repeat(60)}${index}`) }];
  const filter = toolFilter(rules)!;
  const before = process.cpuUsage();
  for (let index = 0; index < 1_000; index += 1) filter.allows(`${'a'.repeat(1_000)}${index % 7}b${index}`);
  expect(process.cpuUsage(before).user / 1_000).toBeLessThan(2_000);
});

test('gives the same answer again', () => {
  const filter = toolFilter([{ allow: ['a*'] }])!;
  for (let round = 0; round < 3; round += 1) {
    for (let index = 0; index < 2_000; index += 1) {
      expect(filter.allows(`a${index}`)).toBe(true);
      expect(filter.allows(`b${index}`)).toBe(false);
    }
  }
});
