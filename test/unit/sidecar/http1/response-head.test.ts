import { describe, expect, test } from 'vitest';
import { parseResponseHead, responseFieldsMax } from '#sidecar/http1/response-head.ts';

function head(...lines: readonly string[]) {
  return parseResponseHead(lines.map((line) => `${line}\r\n`).join(''));
}

const ok = 'HTTP/1.1 200 OK';

describe('the head of a response', () => {
  test('gives status, fields and the length of the body', () => {
    const { status, headers, framing, keptAlive } = head(ok, 'Content-Type: application/json', 'Content-Length:  12 ');
    expect([...headers]).toEqual([
      ['content-type', 'application/json'],
      ['content-length', '12'],
    ]);
    expect({ status, framing, keptAlive }).toEqual({
      status: 200,
      framing: { kind: 'length', bytes: 12 },
      keptAlive: true,
    });
  });

  test('joins fields of one name, and keeps cookies apart', () => {
    const { headers } = head(ok, 'X-A: 1', 'Set-Cookie: a=1', 'x-a: 2', 'set-cookie: b=2');
    expect(headers.get('x-a')).toBe('1, 2');
    expect(headers.getSetCookie()).toEqual(['a=1', 'b=2']);
  });

  test('needs no reason, and takes bytes above ASCII in it and in values', () => {
    expect(head('HTTP/1.1 404').status).toBe(404);
    expect(head('HTTP/1.1 404 ').status).toBe(404);
    expect(head('HTTP/1.1 404 Pas trouv\xe9', 'X-A: \xe9').headers.get('x-a')).toBe('\xe9');
  });

  test.each([
    ['204 has no body', ['HTTP/1.1 204 No Content'], { kind: 'length', bytes: 0 }],
    [
      '304 has no body, whatever its length says',
      ['HTTP/1.1 304 x', 'Content-Length: 9'],
      { kind: 'length', bytes: 0 },
    ],
    ['chunked', [ok, 'Transfer-Encoding: Chunked'], { kind: 'chunked' }],
    ['neither: until the connection closes', [ok], { kind: 'untilClose' }],
  ])('frames the body: %s', (_name, lines, framing) => {
    expect(head(...lines).framing).toEqual(framing);
  });

  test.each([
    ['HTTP/1.0', ['HTTP/1.0 200 OK', 'Content-Length: 0']],
    ['Connection: close', [ok, 'Content-Length: 0', 'Connection: Keep-Alive, Close']],
    ['a body until close', [ok]],
    ['a server that waits a second only', [ok, 'Content-Length: 0', 'Keep-Alive: timeout=1']],
  ])('ends the connection after %s', (_name, lines) => {
    expect(head(...lines).keptAlive).toBe(false);
  });

  test.each([
    ['another version', ['HTTP/2.0 200 OK']],
    ['no status', ['HTTP/1.1 OK']],
    ['a status of four digits', ['HTTP/1.1 2000 OK']],
    ['a status below 100', ['HTTP/1.1 099 OK']],
    ['two spaces before the status', ['HTTP/1.1  200 OK']],
    ['lower case', ['http/1.1 200 OK']],
    ['a line without a colon', [ok, 'nonsense']],
    ['no name', [ok, ': x']],
    ['a space before the colon', [ok, 'Content-Length : 5']],
    ['a folded line', [ok, 'X-A: 1', ' 2']],
    ['a bare LF', [ok, 'X-A: 1\nContent-Length: 5']],
    ['a bare CR', [ok, 'X-A: 1\rContent-Length: 5']],
    ['NUL', [ok, 'X-A: \0']],
    ['a name with bytes above ASCII', [ok, 'X-\xe9: 1']],
    ['two lengths', [ok, 'Content-Length: 5', 'Content-Length: 5']],
    ['a list of lengths', [ok, 'Content-Length: 5, 5']],
    ['a signed length', [ok, 'Content-Length: +5']],
    ['a hexadecimal length', [ok, 'Content-Length: 0x5']],
    ['an empty length', [ok, 'Content-Length:']],
    ['a length beside a transfer coding', [ok, 'Content-Length: 5', 'Transfer-Encoding: chunked']],
    ['a length beside a transfer coding of 204', ['HTTP/1.1 204 x', 'Content-Length: 5', 'Transfer-Encoding: chunked']],
    ['two transfer codings', [ok, 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked']],
    ['a list of transfer codings', [ok, 'Transfer-Encoding: gzip, chunked']],
    ['an unknown transfer coding', [ok, 'Transfer-Encoding: xchunked']],
    ['too many fields', [ok, ...Array.from({ length: responseFieldsMax + 1 }, (_, index) => `x-${index}: 1`)]],
  ])('is refused with %s', (_name, lines) => {
    expect(() => head(...lines)).toThrow(expect.objectContaining({ code: 'Malformed' }));
  });
});
