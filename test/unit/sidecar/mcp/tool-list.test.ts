import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { elementsOf, membersOf, rootOf } from '#sidecar/mcp/json-spans.ts';
import { filterToolList } from '#sidecar/mcp/tool-list.ts';
import { toolFilter } from '#sidecar/mcp/tool-rules.ts';

const filter = toolFilter([{ deny: ['drop_*'] }])!;
const tool = (name: unknown, more: object = {}): object => ({ name, inputSchema: { type: 'object' }, ...more });

function filtered(result: object | string, era: 'legacy' | 'modern' = 'legacy'): unknown {
  const text = typeof result === 'string' ? result : JSON.stringify({ jsonrpc: '2.0', id: 1, result });
  const outcome = filterToolList(text, filter, era);
  return outcome.kind === 'changed' ? (JSON.parse(outcome.text) as { result: unknown }).result : outcome.kind;
}

describe('the list of tools', () => {
  test('is without those that a policy hides', () => {
    const result = {
      tools: [tool('drop_a'), tool('get'), tool('drop_b'), tool('put'), tool('drop_c')],
      nextCursor: 'n',
    };
    expect(filtered(result)).toEqual({ tools: [tool('get'), tool('put')], nextCursor: 'n' });
    expect(filtered({ tools: [tool('drop_a')] })).toEqual({ tools: [] });
    expect(filtered({ tools: [tool('get')] })).toBe('unchanged');
    expect(filtered({ tools: [] })).toBe('unchanged');
  });

  test('stays as it is written but for them', () => {
    const text = String.raw`{ "id":1,"jsonrpc":"2.0" , "result" : {"a":12345678901234567890.0, "tools":
      [ {"name":"drop_a","x":[1,{"y":"]}\"\\"}]} ,{"inputSchema":{"maximum":18446744073709551615,"é":"\u00e9"},"name":"get"}
      , {"name":"drop_b"}], "z":{"tools":[{"name":"drop_c"}]}} }`;
    const outcome = filterToolList(text, filter, 'legacy');
    expect(outcome).toEqual({
      kind: 'changed',
      text: String.raw`{ "id":1,"jsonrpc":"2.0" , "result" : {"a":12345678901234567890.0, "tools":
      [{"inputSchema":{"maximum":18446744073709551615,"é":"\u00e9"},"name":"get"}], "z":{"tools":[{"name":"drop_c"}]}} }`,
    });
  });

  test.each([
    [{ tools: [tool('get')], cacheScope: 'private' }, 'unchanged'],
    [
      { tools: [tool('get')], cacheScope: 'public', ttlMs: 5 },
      { tools: [tool('get')], cacheScope: 'private', ttlMs: 5 },
    ],
    [{ tools: [tool('get')] }, { tools: [tool('get')], cacheScope: 'private' }],
    [
      { cacheScope: 7, tools: [tool('drop_a')] },
      { cacheScope: 'private', tools: [] },
    ],
    [{ tools: [tool('drop_a')] }, { cacheScope: 'private', tools: [] }],
  ])('is for its user alone in the modern era: %j', (result, expected) => {
    expect(filtered(result, 'modern')).toEqual(expected);
  });

  test('is for its user alone in a legacy answer that says something about it', () => {
    expect(filtered({ tools: [], cacheScope: 'public' })).toEqual({ tools: [], cacheScope: 'private' });
  });

  test.each([undefined, 7, null, ['get'], { a: 'get' }])(
    'has nothing in it that is no tool with a name: %j',
    (name) => {
      expect(filtered({ tools: [tool(name), tool('get')] })).toEqual({ tools: [tool('get')] });
    },
  );

  test.each([
    '"get"',
    '7',
    'null',
    '["get"]',
    '{}',
    '{"name":"get","name":"drop_a"}',
    '{"Name":"drop_a","name":"get"}',
  ])('has nothing in it that can be read in two ways: %s', (element) => {
    expect(filtered(`{"id":1,"result":{"tools":[${element},{"name":"get"}]}}`)).toEqual({ tools: [{ name: 'get' }] });
  });

  test.each([
    '{"result":{"tools":[{"name":"drop_a"}]},"result":{"tools":[]}}',
    '{"result":{"tools":[{"name":"drop_a"}],"tools":[]}}',
    '{"result":{"tools":[],"Tools":[{"name":"drop_a"}]}}',
    '{"result":{"TOOLS":[{"name":"drop_a"}]}}',
    '{"RESULT":{"tools":[{"name":"drop_a"}]}}',
    '{"result":{"tools":{"name":"drop_a"}}}',
    '{"result":{"tools":[],"cacheScope":"private","cacheScope":"public"}}',
    '[{"id":1,"result":{"tools":[{"name":"drop_a"}]}}]',
    '{"result":{"tools":[{"name":"drop_a","x":NaN}]}}',
    '{"result":{"tools":[{"name":"drop_a"},]}}',
    ' \n{"result":{"tools":[{"name":"drop_a"}]}} trailing',
    '\uFEFF[{"result":{"tools":[{"name":"drop_a"}]}}]',
  ])('that cannot be judged does not go out: %s', (text) => {
    expect(filterToolList(text, filter, 'legacy').kind).toBe('unreadable');
  });

  test.each([
    String.raw`{"r\u0065sult":{"\u0074ools":[{"n\u0061me":"drop\u005fa"}]}}`,
    String.raw`{"result":{"\u0054ools":[{"name":"drop_a"}]}}`,
  ])('is found in other spellings: %s', (text) => {
    const outcome = filterToolList(text, filter, 'legacy');
    expect(outcome.kind === 'changed' ? outcome.text : outcome.kind).not.toMatch(/unchanged|drop/);
  });

  test.each([
    '{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no \\"tools\\" here"}}',
    '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}',
    '{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{"tools":[{"name":"drop_a"}]}}',
    '{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"\\"tools\\": drop_a"}]}}',
    '{"jsonrpc":"2.0","id":1,"result":{"structuredContent":{"tools":[{"name":"drop_a"}]}}}',
    '{"jsonrpc":"2.0","id":1,"result":["tools"]}',
    '<html>"tools"</html>',
    '"tools"',
    '',
  ])('is nothing that is none: %s', (text) => {
    expect(filterToolList(text, filter, 'legacy').kind).toBe('unchanged');
  });
});

test('spans of a JSON text are where its values are', () => {
  fc.assert(
    fc.property(fc.json(), fc.nat(3), (json, indent) => {
      const text = JSON.stringify(JSON.parse(json), undefined, indent);
      const check = (value: unknown, span: { start: number; end: number }): void => {
        expect(JSON.parse(text.slice(span.start, span.end))).toEqual(value);
        if (Array.isArray(value)) {
          const elements = elementsOf(text, span);
          expect(elements).toHaveLength(value.length);
          elements.forEach((element, index) => check(value[index], element));
        } else if (typeof value === 'object' && value !== null) {
          const members = membersOf(text, span);
          expect(members.map(({ key }) => key)).toEqual(Object.keys(value));
          for (const member of members) check((value as Record<string, unknown>)[member.key], member);
        }
      };
      check(JSON.parse(json), rootOf(text));
    }),
  );
});

test('a large list is filtered in time', () => {
  const tools = Array.from({ length: 20_000 }, (_, index) => tool(`${index % 2 === 0 ? 'drop' : 'get'}_${index}`));
  const text = JSON.stringify({ id: 1, result: { tools } });
  const before = process.cpuUsage();
  expect(filterToolList(text, filter, 'legacy').kind).toBe('changed');
  expect(process.cpuUsage(before).user / 1_000).toBeLessThan(2_000);
});
