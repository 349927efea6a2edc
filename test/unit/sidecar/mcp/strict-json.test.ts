import fc from 'fast-check';
import { expect, test } from 'vitest';
import { depthMax, parseStrictJson } from '#sidecar/mcp/strict-json.ts';

function parse(text: string) {
  return parseStrictJson(new TextEncoder().encode(text));
}

test('reads whatever JSON.stringify writes', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 6 }), (text) => {
      expect(parse(text)).toEqual({ kind: 'value', value: JSON.parse(text) });
    }),
  );
});

test('refuses any object in which a key is written twice, wherever it stands and however it is escaped', () => {
  const escaped = fc
    .string({ minLength: 1 })
    .map((key) => [JSON.stringify(key), `"${key.split('').map(unicodeEscape).join('')}"`]);
  fc.assert(
    fc.property(escaped, fc.json({ maxDepth: 3 }), fc.json({ maxDepth: 3 }), ([plain, other], first, second) => {
      const twice = `{${plain}:${first},${other}:${second}}`;
      for (const text of [twice, `[1,${twice}]`, `{"a":{"b":[${twice}]}}`]) {
        expect(parse(text)).toEqual({ kind: 'invalid', problem: 'DuplicateKey' });
      }
    }),
  );
});

function unicodeEscape(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

test.each([
  ['{"a":1,"a":1}', 'DuplicateKey'],
  ['{"__proto__":1,"__proto__":2}', 'DuplicateKey'],
  ['{"a":{"x":1},"a":2}', 'DuplicateKey'],
  ['{"":1,"":2}', 'DuplicateKey'],
  ['{"a":1,}', 'Syntax'],
  ["{'a':1}", 'Syntax'],
  ['{"a":1}{"b":2}', 'Syntax'],
  ['', 'Syntax'],
  ['nul', 'Syntax'],
  ['"open', 'Syntax'],
  ['\u{feff}{}', 'ByteOrderMark'],
  ['['.repeat(depthMax + 1) + ']'.repeat(depthMax + 1), 'TooDeep'],
  ['{"a":'.repeat(50_000), 'TooDeep'],
] as const)('refuses %j as %s', (text, problem) => {
  expect(parse(text)).toEqual({ kind: 'invalid', problem });
});

test.each([
  '{"a":":","b":"\\"a\\":"}',
  '{"a\\\\":1,"b":{"a\\\\":2}}',
  '{"__proto__":{"a":1}}',
  '[{"a":1},{"a":1}]',
  '"x:y"',
  'null',
])('reads %s', (text) => {
  expect(parse(text)).toEqual({ kind: 'value', value: JSON.parse(text) });
});

test.each([[[0xc3, 0x28]], [[0xff]], [[0xed, 0xa0, 0x80]], [[0xc0, 0x80]], [[0xf5, 0x80, 0x80, 0x80]]])(
  'refuses bytes that are no UTF-8: %j',
  (bytes) => {
    const quoted = Uint8Array.from([0x22, ...bytes, 0x22]);
    expect(parseStrictJson(quoted)).toEqual({ kind: 'invalid', problem: 'NotUtf8' });
  },
);
