import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Fields } from '#sidecar/http1/fields.ts';

const names = fc.constantFrom('a', 'B', 'X-Key', 'x-key', 'Set-Cookie', 'Connection', 'content-type');
const values = fc.stringMatching(/^[\t\x20-\x7e\x80-\xff]{0,8}$/);
const changes = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('set' as const), name: names, value: values }),
    fc.record({ kind: fc.constant('append' as const), name: names, value: values }),
    fc.record({ kind: fc.constant('delete' as const), name: names }),
  ),
  { maxLength: 24 },
);

/** A `Headers` object sorts; the order among cookies is kept. */
function sorted(pairs: Iterable<readonly [string, string]>): readonly (readonly [string, string])[] {
  return [...pairs].toSorted(([left], [right]) => (left < right ? -1 : left > right ? 1 : 0));
}

describe('header fields', () => {
  test('are after any changes what a Headers object would be, but for the order', () => {
    fc.assert(
      fc.property(changes, (steps) => {
        const ours = new Fields();
        const theirs = new Headers();
        for (const step of steps) {
          for (const fields of [ours, theirs]) {
            if (step.kind === 'delete') fields.delete(step.name);
            else fields[step.kind](step.name, step.value);
          }
        }
        expect(sorted(ours)).toEqual(sorted(theirs));
        for (const name of ['A', 'b', 'X-KEY', 'set-cookie', 'none']) {
          expect(ours.get(name)).toBe(theirs.get(name));
          expect(ours.has(name)).toBe(theirs.has(name));
        }
        expect(ours.getSetCookie()).toEqual(theirs.getSetCookie());
      }),
    );
  });

  test('keep the order in which they came', () => {
    const fields = new Fields([
      ['z', '1'],
      ['a', '2'],
      ['z', '3'],
    ]);
    expect([...fields]).toEqual([
      ['z', '1, 3'],
      ['a', '2'],
    ]);
    expect(fields.keys()).toEqual(['z', 'a']);
    expect(fields.size).toBe(2);
  });

  test('of a copy are its own', () => {
    const fields = new Fields({ a: '1' });
    const copy = new Fields(fields);
    copy.set('a', '2');
    copy.append('b', '3');
    expect([...fields]).toEqual([['a', '1']]);
  });

  test('go where they are unwanted, all of one name', () => {
    const fields = new Fields([
      ['set-cookie', 'a=1'],
      ['b', '2'],
      ['set-cookie', 'c=3'],
    ]);
    fields.deleteWhere((name) => name === 'set-cookie');
    expect([...fields]).toEqual([['b', '2']]);
  });

  test.each(['a\r\nb: c', 'a\nb', 'a\0', '\x7f', 'ł'])(
    'never hold a value that ends a line or is no byte: %j',
    (value) => {
      expect(() => new Fields({ a: value })).toThrow(TypeError);
      expect(() => new Fields().append('a', value)).toThrow(TypeError);
      expect(() => new Fields().set('a', value)).not.toThrow(value);
    },
  );

  test.each(['', 'a b', 'a:', 'a\r\n', 'ä'])('never hold a name that is no token: %j', (name) => {
    expect(() => new Fields().set(name, 'x')).toThrow(TypeError);
  });
});
