import type { Fields } from '../../http1/fields.ts';
import { Buffer } from 'node:buffer';

import type { EchoGuard } from '../../echo/echo-guard.ts';
import { guardChunks } from '../../echo/guard-chunks.ts';
import { type ResponseGuard, UserGuards } from '../../echo/user-guards.ts';
import { refuseCoded } from '../coded.ts';
import { isChunks, type Layer, type OutgoingRequest, type ProxyResponse } from '../exchange.ts';
import { isEventStream } from '../media-type.ts';
import { shareOf } from '../user-shares.ts';
import { isOpenEnded } from './watch-answer.ts';

/**
 * Keeps the user's key from coming back: a server that prints its requests in an error, or a tool that shows its environment, must
 * not hand a client what the client is not meant to have. What is found is masked in place. A server may answer one request with
 * what it learned from another: all keys are looked for that its user had of late, whichever of them this request has, or none.
 */
export function guardEcho(): Layer<OutgoingRequest> {
  const guards = new UserGuards();
  return (inner) =>
    function guardKeyEcho(request) {
      // A coded body could not be read: by this layer, by the one that filters lists, by the one that keeps streams alive.
      request.outgoing.set('accept-encoding', 'identity');
      const { permission, record } = request;
      const headers = permission.decision === 'granted' ? permission.headers : undefined;
      return guardAnswer(inner(request), guards.begin(shareOf(record.subject), headers), request);
    };
}

async function guardAnswer(
  awaited: Promise<ProxyResponse>,
  guard: ResponseGuard,
  request: OutgoingRequest,
): Promise<ProxyResponse> {
  let response: ProxyResponse;
  try {
    response = maskHead(await awaited, guard, request);
  } catch (error) {
    guard.end();
    throw error;
  }
  const { body } = response;
  const { record } = request;
  const onEcho = (echoes: number): void => void (record.echoes += echoes);
  if (isChunks(body)) return { ...response, body: guardChunks(body, { guard, onEcho, onEnd: () => guard.end() }) };
  const { current } = guard;
  guard.end();
  if (body === undefined || current === undefined) return response;
  const { bytes, echoes } = current.mask(body, true);
  if (echoes === 0) return response;
  onEcho(echoes);
  return { ...response, body: bytes };
}

/** @throws ProxyError when the body is coded: a key could be in there unseen, and on a stream that stays open one may come yet */
function maskHead(response: ProxyResponse, { current }: ResponseGuard, request: OutgoingRequest): ProxyResponse {
  if (current !== undefined || (isOpenEnded(request) && isEventStream(response.headers))) refuseCoded(response);
  if (current !== undefined) request.record.echoes += maskHeaders(response.headers, current);
  return response;
}

/** All of them at once first, as nearly always none has a key in it. */
function maskHeaders(headers: Fields, guard: EchoGuard): number {
  let all = '';
  headers.forEach((value, name) => (all += `${name}: ${value}\n`));
  return guard.mayHold(all) ? maskEachHeader(headers, guard) : 0;
}

function maskEachHeader(headers: Fields, guard: EchoGuard): number {
  let echoes = 0;
  const cookies = headers.getSetCookie();
  for (const [name, value] of Array.from(headers)) {
    if (guard.mask(Buffer.from(name, 'latin1'), true).echoes > 0) {
      echoes += 1;
      headers.delete(name);
      continue;
    }
    const masked = guard.mask(Buffer.from(value, 'latin1'), true);
    if (masked.echoes === 0 || name === 'set-cookie') continue;
    echoes += masked.echoes;
    headers.set(name, textOf(masked.bytes));
  }
  return echoes + maskCookies(headers, cookies, guard);
}

/** Several fields of this one name are not one value. */
function maskCookies(headers: Fields, cookies: readonly string[], guard: EchoGuard): number {
  const masked = cookies.map((cookie) => guard.mask(Buffer.from(cookie, 'latin1'), true));
  const echoes = masked.reduce((sum, one) => sum + one.echoes, 0);
  if (echoes === 0) return 0;
  headers.delete('set-cookie');
  for (const { bytes } of masked) headers.append('set-cookie', textOf(bytes));
  return echoes;
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}
