import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { canonicalJson } from '#sidecar/mcp/canonical-json.ts';
import { removeMember, setMember } from '#sidecar/mcp/json-edit.ts';

describe('a member of a JSON text', () => {
  test.each([
    ['{"a":1,"b":2}', ['a'], '{"b":2}'],
    ['{"a":1,"b":2}', ['b'], '{"a":1}'],
    ['{ "a" : 1 }', ['a'], '{  }'],
    ['{"p":{"x":"a,}\\"","y":[1,{"y":2}],"z":null}}', ['p', 'y'], '{"p":{"x":"a,}\\"","z":null}}'],
    ['{"a":1.0,\n "b" : 1e2 , "c":10000000000000000000001}', ['b'], '{"a":1.0,\n "c":10000000000000000000001}'],
    ['{"\\u0061":1,"b":2}', ['a'], '{"b":2}'],
    ['{"a":1}', ['b'], '{"a":1}'],
    ['{"a":1}', ['a', 'b'], '{"a":1}'],
    ['[1]', ['a'], '[1]'],
  ] as const)('is taken away and nothing else: %s without %j', (text, path, expected) => {
    expect(removeMember(text, path)).toBe(expected);
  });

  test.each([
    ['{"a":1,"b":2}', ['a'], '{"a":"x","b":2}'],
    ['{"a":{"b":[1,2]} }', ['a', 'b'], '{"a":{"b":"x"} }'],
    ['{"a":{}}', ['a', 'b'], '{"a":{"b":"x"}}'],
    ['{"a":{"c":1}}', ['a', 'b'], '{"a":{"b":"x","c":1}}'],
    ['{"a":1}', ['b', 'c'], '{"a":1}'],
  ] as const)('is set and nothing else: %s at %j', (text, path, expected) => {
    expect(setMember(text, path, '"x"')).toBe(expected);
  });

  const members = fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 5 });

  test('is found in whatever a parser accepts', () => {
    fc.assert(
      fc.property(
        fc.record({ params: members, others: members, key: fc.string(), value: fc.jsonValue(), indent: fc.nat(4) }),
        (made) => {
          const { params, others, key, value, indent } = made;
          const text = JSON.stringify({ ...others, params: { ...params, [key]: value } }, undefined, indent);
          const { [key]: _, ...rest } = { ...params, [key]: value };
          const parsed = (edited: string): unknown => (JSON.parse(edited) as { params: unknown }).params;
          const plain = (one: unknown): unknown => JSON.parse(JSON.stringify(one));
          expect(parsed(removeMember(text, ['params', key]))).toEqual(plain(rest));
          expect(parsed(setMember(text, ['params', key], '[0]'))).toEqual(plain({ ...params, [key]: [0] }));
        },
      ),
      { numRuns: 300 },
    );
  });
});

test('a value has one canonical text, whatever order its keys have', () => {
  expect(canonicalJson({ b: [1, { d: 'x', c: null }], a: true })).toBe('{"a":true,"b":[1,{"c":null,"d":"x"}]}');
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = JSON.stringify(value);
      expect(JSON.parse(canonicalJson(JSON.parse(text)))).toEqual(JSON.parse(text));
    }),
  );
});
