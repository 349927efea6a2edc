import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ChunkedDecoder, chunkLineBytesMax, trailerBytesMax } from '#sidecar/http1/chunked.ts';
import { pieces } from './pieces.ts';

function decodeAll(parts: readonly Buffer[]) {
  const decoder = new ChunkedDecoder();
  const content: Buffer[] = [];
  let consumed = 0;
  for (const part of parts) {
    const bytes = Buffer.from(part);
    const count = decoder.decode(bytes);
    content.push(Buffer.from(bytes.subarray(0, count)));
    consumed += decoder.consumed;
  }
  return { content: Buffer.concat(content).toString('latin1'), consumed, done: decoder.done };
}

function decode(text: string) {
  return decodeAll([Buffer.from(text, 'latin1')]);
}

describe('a chunked body', () => {
  test('gives its content, and stops at its end', () => {
    expect(decode('3\r\nabc\r\n0a\r\n0123456789\r\n0\r\n\r\nnext')).toEqual({
      content: 'abc0123456789',
      consumed: 29,
      done: true,
    });
  });

  test('is read over extensions and trailers', () => {
    const text = '3;name="value"\r\nabc\r\n000;x\r\nX-Trailer: 1\r\nX-Other: 2\r\n\r\n';
    expect(decode(text)).toEqual({ content: 'abc', consumed: text.length, done: true });
  });

  test('is not over before its last line', () => {
    expect(decode('3\r\nabc\r\n0\r\n').done).toBe(false);
    expect(decode('3\r\nabc\r\n0\r\nX: 1\r\n').done).toBe(false);
  });

  test.each([
    ['no size', '\r\nabc'],
    ['a size that is no number', 'x\r\nabc'],
    ['a signed size', '+3\r\nabc\r\n'],
    ['a prefixed size', '0x3\r\nabc\r\n'],
    ['a space before the size', ' 3\r\nabc\r\n'],
    ['a space behind the size', '3 \r\nabc\r\n'],
    ['a size of nine digits', '000000003\r\nabc\r\n'],
    ['a bare LF behind the size', '3\nabc\r\n'],
    ['a bare CR behind the size', '3\rabc\r\n'],
    ['content longer than its size', '3\r\nabcd\r\n'],
    ['content that ends in LF', '3\r\nabc\n0\r\n\r\n'],
    ['a bare LF in an extension', '3;a\nb\r\nabc\r\n'],
    ['NUL in an extension', '3;\0\r\nabc\r\n'],
    ['an extension without an end', `3;${'x'.repeat(chunkLineBytesMax + 1)}`],
    ['a bare LF in a trailer', '0\r\nX: 1\n\r\n'],
    ['a bare CR in a trailer', '0\r\nX: 1\rY\r\n'],
    ['trailers without an end', `0\r\n${'X: 1\r\n'.repeat(trailerBytesMax / 4 + 1)}`],
  ])('is refused with %s', (_name, text) => {
    expect(() => decode(text)).toThrow(expect.objectContaining({ code: 'Malformed' }));
  });

  test('reads the same however it is cut', () => {
    const chunk = fc.string({ minLength: 1, maxLength: 40, unit: 'binary-ascii' });
    fc.assert(
      fc.property(fc.array(chunk, { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 12 }), (chunks, cuts) => {
        const text = [...chunks.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`), '0\r\n\r\n'].join('');
        expect(decodeAll(pieces(text, cuts))).toEqual({ content: chunks.join(''), consumed: text.length, done: true });
      }),
    );
  });
});
