import { expect, test } from 'vitest';
import { endsBehind } from '#sidecar/http1/ends-behind.ts';
import { parseReceivedHead } from '#sidecar/http1/received-head.ts';
import { parseResponseHead } from '#sidecar/http1/response-head.ts';
import { Fields } from '#sidecar/http1/fields.ts';

test.each([
  ['close', true],
  ['Close', true],
  ['keep-alive, CLOSE', true],
  ['close,x', true],
  ['keep-alive close', true],
  ['x ,\tclose', true],
  ['keep-alive', false],
  ['closed', false],
  ['x-close', false],
  ['close-notify', false],
  ['', false],
])('Connection: %s ends a connection in requests and answers alike: %s', (value, ends) => {
  expect(endsBehind(new Fields({ connection: value }))).toBe(ends);
  const field = `Connection: ${value}\r\n`;
  expect(parseReceivedHead(`GET / HTTP/1.1\r\nHost: x\r\n${field}`).keptAlive).toBe(!ends);
  expect(parseResponseHead(`HTTP/1.1 200 OK\r\nContent-Length: 0\r\n${field}`).keptAlive).toBe(!ends);
});
