import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { depthMax } from '#sidecar/mcp/key-list.ts';
import { readStrictJson, type StrictJsonProblem } from '#sidecar/mcp/strict-json.ts';
import { WatchedKeys } from '#sidecar/mcp/watched-keys.ts';
import { parseStrictJson } from '#test/support/reference-json.ts';

const rootNames = ['id', 'params', 'ключ', ''];
const innerNames = ['name', '_meta'];
const judged = { root: new WatchedKeys(rootNames), inner: new WatchedKeys(innerNames), innerOf: 1 };
const utf8 = new TextEncoder();

function read(input: string | Uint8Array) {
  return readStrictJson(typeof input === 'string' ? utf8.encode(input) : input, judged);
}

type Judged = object | StrictJsonProblem | 'faulty';

/** A text with several faults may be refused for any of them. */
function withoutReason(problem: StrictJsonProblem): Judged {
  return ['Syntax', 'TooDeep', 'DuplicateKey'].includes(problem) ? 'faulty' : problem;
}

/** Everything that is judged, or what is wrong. */
function judge(input: string | Uint8Array): Judged {
  const json = read(input);
  if (typeof json === 'string') return withoutReason(json);
  return {
    kind: json.kind,
    root: rootNames.map((_name, index) => json.root.value(index)),
    inner: innerNames.map((_name, index) => json.inner.value(index)),
  };
}

/** The same by the reference. */
function expected(bytes: Uint8Array): Judged {
  const json = parseStrictJson(bytes);
  if (json.kind === 'invalid') return withoutReason(json.problem);
  const root = asObject(json.value);
  const inner = asObject(root['params']);
  return {
    kind: kindOf(json.value),
    root: rootNames.map((name) => own(root, name)),
    inner: innerNames.map((name) => own(inner, name)),
  };
}

function asObject(value: unknown): Record<string, unknown> {
  return kindOf(value) === 'object' ? (value as Record<string, unknown>) : {};
}

function own(object: Record<string, unknown>, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'string') return 'string';
  return typeof value === 'object' && value !== null ? 'object' : 'other';
}

const key = fc.oneof(
  fc.constantFrom(...rootNames, ...innerNames, 'a', 'NAME'),
  fc.string({ unit: 'binary', maxLength: 4 }),
);

const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.constantFrom(null, true, false, -0, 0.1, 1e300, 2 ** 60),
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.string({ unit: 'binary', maxLength: 80 }),
    fc.string({ minLength: 60, maxLength: 200 }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(key, tie('value'), { maxKeys: 20 }),
  ),
  root: fc.record(
    { id: tie('value'), params: fc.dictionary(key, tie('value')), ключ: tie('value') },
    { requiredKeys: [] },
  ),
}));

const space = fc.constantFrom('', '', ' ', '\n', '\t\r ');
const text = fc
  .tuple(fc.oneof(json.root, json.value), fc.option(fc.nat({ max: 4 })), space, space)
  .map(([value, indent, before, after]) => `${before}${JSON.stringify(value, null, indent ?? 0)}${after}`);

describe('reads as JSON.parse does', () => {
  test('whatever JSON.stringify writes', () => {
    fc.assert(
      fc.property(text, (written) => {
        expect(judge(written)).toEqual(expected(utf8.encode(written)));
      }),
      { numRuns: 2_000 },
    );
  });

  test('what is left of JSON when some of it is changed, taken out or put in', () => {
    const piece = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      '"',
      ':',
      ',',
      '\\',
      'u',
      '0',
      '-',
      '+',
      '.',
      'e',
      'E',
      ' ',
      '\n',
      '\t',
      '\0',
      'null',
      'tru',
      '1e',
      '\\u00',
      '\\"',
      '"a":',
      'é',
      '\u{7f}',
    );
    const edit = fc.record({ at: fc.nat(), cut: fc.nat({ max: 3 }), put: fc.option(piece) });
    fc.assert(
      fc.property(text, fc.array(edit, { minLength: 1, maxLength: 3 }), (written, edits) => {
        let edited = written;
        for (const { at, cut, put } of edits) {
          const from = at % (edited.length + 1);
          edited = edited.slice(0, from) + (put ?? '') + edited.slice(from + cut);
        }
        expect(judge(edited)).toEqual(expected(utf8.encode(edited)));
      }),
      { numRuns: 6_000 },
    );
  });

  test('bytes that are hardly a text', () => {
    const byte = fc.constantFrom(
      0x22,
      0x5c,
      0x7b,
      0x7d,
      0x5b,
      0x5d,
      0x3a,
      0x2c,
      0x31,
      0xc3,
      0xa9,
      0xff,
      0xef,
      0xbb,
      0xbf,
      0x00,
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.array(byte, { maxLength: 12 }).map((list) => Uint8Array.from(list)),
          fc.uint8Array({ maxLength: 12 }),
        ),
        (bytes) => {
          expect(judge(bytes)).toEqual(expected(bytes));
        },
      ),
      { numRuns: 6_000 },
    );
  });

  test('long strings with anything anywhere, wherever their bytes lie in memory', () => {
    const odd = fc.constantFrom('\n', '\0', '\u{1f}', ' ', '\\', '\\n', '"', '\u{7f}', 'é', '\u{1f600}');
    const place = fc.record({ before: fc.nat({ max: 300 }), after: fc.nat({ max: 300 }), offset: fc.nat({ max: 8 }) });
    fc.assert(
      fc.property(odd, place, (put, { before, after, offset }) => {
        const bytes = utf8.encode(`{"id":"${'x'.repeat(before)}${put}${'y'.repeat(after)}"}`);
        const moved = new Uint8Array(bytes.length + offset).subarray(offset);
        moved.set(bytes);
        expect(judge(moved)).toEqual(expected(moved));
      }),
      { numRuns: 4_000 },
    );
  });

  test.each([
    '0',
    '-0',
    '01',
    '-',
    '1.',
    '.1',
    '1.5e+10',
    '1e',
    '1e+',
    '0x1',
    '+1',
    '1_0',
    'Infinity',
    'NaN',
    '00',
    '-01',
  ])('the number %s, alone and in a list', (number) => {
    for (const written of [number, `{"id":[${number},1]}`, `{"id":${number}}`]) {
      expect(judge(written)).toEqual(expected(utf8.encode(written)));
    }
  });
});

test('refuses any object in which a key is written twice, wherever it stands and however it is escaped', () => {
  const escaped = fc
    .string({ minLength: 1, unit: 'binary' })
    .map((name) => [JSON.stringify(name), `"${name.split('').map(unicodeEscape).join('')}"`]);
  fc.assert(
    fc.property(escaped, fc.json({ maxDepth: 3 }), fc.nat({ max: 40 }), ([plain, other], value, others) => {
      const between = Array.from({ length: others }, (_item, index) => `"other key ${index}":${index},`).join('');
      const twice = `{${plain}:${value},${between}${other}:1}`;
      for (const written of [twice, `[1,${twice}]`, `{"a":{"b":[${twice}]}}`, `{"params":${twice}}`]) {
        expect(read(written)).toBe('DuplicateKey');
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
  ['{"a":1', 'Syntax'],
  ['{"a', 'Syntax'],
  ['{"a\n":1}', 'Syntax'],
  ['\u{feff}{}', 'ByteOrderMark'],
  ['['.repeat(depthMax + 1) + ']'.repeat(depthMax + 1), 'TooDeep'],
  ['{"a":'.repeat(50_000), 'TooDeep'],
] as const)('refuses %j as %s', (written, problem) => {
  expect(read(written)).toBe(problem);
});

test.each([[[0xc3, 0x28]], [[0xff]], [[0xed, 0xa0, 0x80]], [[0xc0, 0x80]], [[0xf5, 0x80, 0x80, 0x80]]])(
  'refuses bytes that are no UTF-8: %j',
  (bytes) => {
    expect(read(Uint8Array.from([0x22, ...bytes, 0x22]))).toBe('NotUtf8');
  },
);

test('one scan leaves nothing behind for the next', () => {
  expect(read('{"a":{"b":1,"b":2}}')).toBe('DuplicateKey');
  expect(judge('{"b":1,"a":2,"id":7}')).toMatchObject({ root: [7, undefined, undefined, undefined] });
});

test.each<[string, () => string]>([
  ['many keys', () => `{${Array.from({ length: 200_000 }, (_item, index) => `"${index}":1`).join(',')}}`],
  [
    'keys of one hash',
    () =>
      `{${collidingKeys(13)
        .map((name) => `"${name}":1`)
        .join(',')}}`,
  ],
  ['a long string of short runs', () => `{"id":"${`${'x'.repeat(70)}\\n`.repeat(50_000)}"}`],
  ['a long string of escapes', () => `{"id":"${'\\"'.repeat(2_000_000)}"}`],
])('takes time in proportion to the text: %s', (_what, write) => {
  const bytes = utf8.encode(write());
  const startedMs = performance.now();
  expect(typeof read(bytes)).toBe('object');
  expect(performance.now() - startedMs).toBeLessThan(10_000);
});

/** `Aa` and `BB` have one polynomial hash of base 31, and so has whatever is made of them. */
function collidingKeys(length: number): string[] {
  return length === 0 ? [''] : collidingKeys(length - 1).flatMap((name) => [`${name}Aa`, `${name}BB`]);
}
