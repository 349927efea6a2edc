import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { LineSplitter } from '#operator/kube/line-splitter.ts';

function split(pieces: readonly Buffer[], bytesMax?: number): readonly string[] {
  const splitter = new LineSplitter(bytesMax);
  return pieces.flatMap((piece) => [...splitter.push(piece)].map((line) => line.toString('utf8')));
}

describe('line splitter', () => {
  test('gives the same lines however the stream was cut, inside of characters too', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), fc.array(fc.nat(40)), (texts, sizes) => {
        const lines = texts.map((text) => text.replaceAll('\n', ' ')).filter((text) => Buffer.from(text).length > 0);
        const stream = Buffer.from(lines.map((line) => `${line}\n`).join(''));
        const pieces: Buffer[] = [];
        let from = 0;
        for (const size of sizes) {
          pieces.push(stream.subarray(from, from + size));
          from += size;
        }
        pieces.push(stream.subarray(Math.min(from, stream.length)));
        expect(split(pieces)).toEqual(lines.map((line) => Buffer.from(line).toString('utf8')));
      }),
    );
  });

  test('tells what is left of an unfinished line', () => {
    const splitter = new LineSplitter();
    expect([...splitter.push(Buffer.from('{"a":1}\n{"b'))].map(String)).toEqual(['{"a":1}']);
    expect(splitter.heldBytes).toBe(3);
    expect([...splitter.push(Buffer.from('":2}\n'))].map(String)).toEqual(['{"b":2}']);
    expect(splitter.heldBytes).toBe(0);
  });

  test('refuses a line that is longer than the limit, in one piece or in many', () => {
    expect(split([Buffer.from('12345678\n')], 8)).toEqual(['12345678']);
    expect(() => split([Buffer.from('123456789\n')], 8)).toThrow('longer than 8 bytes');
    expect(() =>
      split(
        Array.from({ length: 9 }, () => Buffer.from('1')),
        8,
      ),
    ).toThrow('longer than 8 bytes');
  });
});
