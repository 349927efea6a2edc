import { describe, expect, test } from 'vitest';

import { everythingV1 } from '#test/integration/conformance/servers/v1-everything.ts';
import { everythingV2 } from '#test/integration/conformance/servers/v2-everything.ts';
import { verifies } from '#test/requirements.ts';

import { badKey, goodKey, probeWorld } from './world.ts';

const eras = [
  { era: 'modern', listener: () => everythingV2({ authorization: `Bearer ${goodKey}` }) },
  { era: 'legacy', listener: () => everythingV1({ authorization: `Bearer ${goodKey}` }) },
];

const simple = { tool: { name: 'test_simple_text' } };

describe.each(eras)('a tool probe of a real server of the $era era', ({ era, listener }) => {
  test(`accepts a key that works, and refuses one that does not (${era})`, async () => {
    await using world = await probeWorld({ listener: listener() });
    expect(await world.try(simple, goodKey)).toEqual({ verdict: 'Accepted', reason: 'Accepted' });
    expect(await world.try(simple, badKey)).toEqual({ verdict: 'Rejected', reason: 'KeyRefused' });
    expect(JSON.stringify(world.told)).not.toMatch(/goodKey|badKey/u);
  });

  test('holds the result against what the policy expects', async () => {
    await using world = await probeWorld({ listener: listener() });
    const expecting = (expect_: object) => ({
      tool: { ...simple.tool, expect: { path: '$.content[*].text', ...expect_ } },
    });
    expect(await world.try(expecting({ contains: 'simple' }), goodKey)).toMatchObject({ verdict: 'Accepted' });
    expect(await world.try(expecting({ matches: '.*text.*' }), goodKey)).toMatchObject({ verdict: 'Accepted' });
    expect(await world.try(expecting({ equals: 'nothing' }), goodKey)).toEqual({
      verdict: 'Rejected',
      reason: 'ExpectationMissed',
    });
  });

  test('takes a result that is an error for a refusal', async () => {
    await using world = await probeWorld({ listener: listener() });
    expect(await world.try({ tool: { name: 'test_error_handling' } }, goodKey)).toEqual({
      verdict: 'Rejected',
      reason: 'ToolFailed',
    });
  });

  test(verifies('validation:unknown-tool'), async () => {
    await using world = await probeWorld({ listener: listener() });
    expect(await world.try({ tool: { name: 'no_such_tool' } }, goodKey)).toEqual({ reason: 'ToolNotListed' });
  });
});
