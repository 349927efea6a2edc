import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Http1Error } from '#sidecar/http1/http1-error.ts';
import { NotSpoken, parseReceivedHead } from '#sidecar/http1/received-head.ts';

function head(...lines: readonly string[]) {
  return parseReceivedHead(lines.map((line) => `${line}\r\n`).join(''));
}

const post = 'POST /mcp?x=1 HTTP/1.1';
const host = 'Host: x';

describe('the head of a request', () => {
  test('gives method, path, query, fields and the length of the body', () => {
    const { headers, ...rest } = head(post, host, 'Content-Length: \t12 ', 'X-A: 1', 'x-a:2');
    expect(rest).toEqual({
      method: 'POST',
      path: '/mcp',
      query: '?x=1',
      bodyBytes: 12,
      keptAlive: true,
      minor: 1,
      waits: false,
    });
    expect([...headers]).toEqual([
      ['host', 'x'],
      ['content-length', '12'],
      ['x-a', '1, 2'],
    ]);
  });

  test('keeps a path as it is written', () => {
    for (const path of ['/a/../mcp', '//mcp', '/%2e%2e/mcp', '/mcp/', '/'])
      expect(head(`GET ${path} HTTP/1.1`, host).path).toBe(path);
  });

  test('takes the host of an absolute target for the host', () => {
    const { path, query, headers } = head('GET http://other.example:81?q HTTP/1.1', host);
    expect([path, query, headers.get('host')]).toEqual(['/', '?q', 'other.example:81']);
  });

  test.each([
    ['HTTP/1.0', ['GET / HTTP/1.0'], false],
    ['HTTP/1.1', ['GET / HTTP/1.1', host], true],
    ['Connection: close', ['GET / HTTP/1.1', host, 'Connection: x, CLOSE'], false],
  ])('says whether another request may follow: %s', (_name, lines, keptAlive) => {
    expect(head(...lines).keptAlive).toBe(keptAlive);
  });

  test('says that the client waits, in HTTP/1.1 alone', () => {
    expect(head(post, host, 'Expect: 100-Continue', 'Content-Length: 1').waits).toBe(true);
    expect(head('POST / HTTP/1.0', 'Expect: 100-continue', 'Content-Length: 1').waits).toBe(false);
  });

  test.each([
    ['no version', ['GET /']],
    ['a version in small letters', ['GET / http/1.1', host]],
    ['a blank more', ['GET  / HTTP/1.1', host]],
    ['a blank at the end', ['GET / HTTP/1.1 ', host]],
    ['a method that is no token', ['G(T / HTTP/1.1', host]],
    ['a long method', [`${'G'.repeat(33)} / HTTP/1.1`, host]],
    ['a fragment', ['GET /#a HTTP/1.1', host]],
    ['an asterisk', ['OPTIONS * HTTP/1.1', host]],
    ['an authority', ['CONNECT x:443 HTTP/1.1', host]],
    ['another scheme', ['GET ftp://x/ HTTP/1.1', host]],
    ['a user in the target', ['GET http://a@x/ HTTP/1.1', host]],
    ['no host', ['GET / HTTP/1.1']],
    ['two hosts', ['GET / HTTP/1.1', host, host]],
    ['an empty host', ['GET / HTTP/1.1', 'Host: ']],
    ['a host with a path', ['GET / HTTP/1.1', 'Host: x/y']],
    ['a folded line', ['GET / HTTP/1.1', host, ' folded']],
    ['a space before the colon', ['GET / HTTP/1.1', 'Host : x']],
    ['a control character', ['GET / HTTP/1.1', host, 'X: \x01']],
    ['a length twice', [post, host, 'Content-Length: 1', 'Content-Length: 1']],
    ['two lengths in one field', [post, host, 'Content-Length: 1, 1']],
    ['a length with a sign', [post, host, 'Content-Length: +1']],
    ['a length in C notation', [post, host, 'Content-Length: 0x1']],
    ['an empty length', [post, host, 'Content-Length:']],
    ['a length beyond all numbers', [post, host, `Content-Length: 1${'0'.repeat(15)}`]],
    ['a length beside a coding', [post, host, 'Content-Length: 1', 'Transfer-Encoding: chunked']],
    ['a coding twice', [post, host, 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked']],
    ['two codings', [post, host, 'Transfer-Encoding: gzip, chunked']],
    ['an empty coding', [post, host, 'Transfer-Encoding:']],
    ['another coding', [post, host, 'Transfer-Encoding: identity']],
    ['a coding in HTTP/1.0', ['POST / HTTP/1.0', host, 'Transfer-Encoding: chunked']],
    ['too many fields', ['GET / HTTP/1.1', host, ...Array.from({ length: 512 }, () => 'a: b')]],
  ])('is refused for %s', (_name, lines) => {
    expect(() => head(...lines)).toThrow(expect.objectContaining({ code: 'Malformed' }));
  });

  test.each([
    ['another version', 505, ['GET / HTTP/2.0', host]],
    ['a later version', 505, ['GET / HTTP/1.2', host]],
    ['an unknown expectation', 417, [post, host, 'Expect: 100-continue, x']],
  ])('has a status of its own for %s', (_name, status, lines) => {
    expect(() => head(...lines)).toThrow(expect.objectContaining({ status }));
  });

  test('never holds what came in an error', () => {
    const secret = 'Bearer secret-of-a-client';
    const refusal = (): unknown => {
      try {
        return head('GET / HTTP/1.1', host, `Authorization: ${secret}\x01`);
      } catch (error) {
        return error;
      }
    };
    expect(String(refusal())).not.toContain('secret');
  });

  test('of any characters is read or refused, and never anything else', () => {
    const line = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) });
    const near = fc.constantFrom(
      'GET / HTTP/1.1',
      host,
      'Content-Length: 1',
      'Transfer-Encoding: chunked',
      ' x',
      'a:',
      ':',
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(line, near), { minLength: 1, maxLength: 6 }), (lines) => {
        try {
          const { path, bodyBytes, headers } = head(...lines);
          expect(path.startsWith('/')).toBe(true);
          if (bodyBytes !== undefined) expect(Number.isSafeInteger(bodyBytes) && bodyBytes >= 0).toBe(true);
          headers.forEach((value, name) => expect(`${name}${value}`).not.toMatch(/[\r\n\0]/));
        } catch (error) {
          if (!(error instanceof Http1Error) && !(error instanceof NotSpoken)) throw error;
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
