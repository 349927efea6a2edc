import { Buffer } from 'node:buffer';

import type { EchoGuard } from '../../echo/echo-guard.ts';
import { guardChunks } from '../../echo/guard-chunks.ts';
import { UserGuards } from '../../echo/user-guards.ts';
import { isCoded, refuseCoded } from '../coded.ts';
import { isChunks, type Layer, type OutgoingRequest, type ProxyResponse, type RequestRecord } from '../exchange.ts';
import { isOpenEnded } from './watch-answer.ts';

/**
 * Keeps the key that was attached from coming back: a server that prints its requests in an error, or a tool that shows its
 * environment, must not hand a client what the client is not meant to have. What is found is masked in place.
 */
export function guardEcho(): Layer<OutgoingRequest> {
  const guards = new UserGuards();
  return (inner) =>
    function guardKeyEcho(request) {
      // A coded body could not be read: by this layer, by the one that filters lists, by the one that keeps streams alive.
      request.outgoing.set('accept-encoding', 'identity');
      const { permission, record } = request;
      const guard =
        permission.decision === 'granted' ? guards.of(permission.subjectKey, permission.headers) : undefined;
      if (isOpenEnded(request)) return guardStream(inner(request), { guards, guard, request });
      return guard === undefined ? inner(request) : guardAnswer(inner(request), guard, record);
    };
}

async function guardAnswer(
  awaited: Promise<ProxyResponse>,
  guard: EchoGuard,
  record: RequestRecord,
): Promise<ProxyResponse> {
  const response = maskHead(await awaited, guard, record);
  const { body } = response;
  if (body === undefined) return response;
  const onEcho = (echoes: number): void => void (record.echoes += echoes);
  if (isChunks(body)) return { ...response, body: guardChunks(body, { guard: { current: guard }, onEcho }) };
  const { bytes, echoes } = guard.mask(body, true);
  if (echoes === 0) return response;
  onEcho(echoes);
  return { ...response, body: bytes };
}

interface OpenStream {
  readonly guards: UserGuards;
  readonly guard: EchoGuard | undefined;
  readonly request: OutgoingRequest;
}

/** The user may set or change the key while the stream is open. */
async function guardStream(
  awaited: Promise<ProxyResponse>,
  { guards, guard, request }: OpenStream,
): Promise<ProxyResponse> {
  const { permission, record } = request;
  const response = guard === undefined ? await awaited : maskHead(await awaited, guard, record);
  const { subjectKey } = permission;
  if (!isChunks(response.body) || isCoded(response) || subjectKey === undefined) {
    return guard === undefined ? response : guardAnswer(Promise.resolve(response), guard, record);
  }
  const live = guards.follow(subjectKey, guard);
  const onEcho = (echoes: number): void => void (record.echoes += echoes);
  return { ...response, body: guardChunks(response.body, { guard: live, onEcho, onEnd: () => live.forget() }) };
}

/** @throws ProxyError when the body is coded: the key could be in there unseen */
function maskHead(response: ProxyResponse, guard: EchoGuard, record: RequestRecord): ProxyResponse {
  refuseCoded(response);
  record.echoes += maskHeaders(response.headers, guard);
  return response;
}

/** All of them at once first, as nearly always none has a key in it. */
function maskHeaders(headers: Headers, guard: EchoGuard): number {
  let all = '';
  headers.forEach((value, name) => (all += `${name}: ${value}\n`));
  return guard.mayHold(all) ? maskEachHeader(headers, guard) : 0;
}

function maskEachHeader(headers: Headers, guard: EchoGuard): number {
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
function maskCookies(headers: Headers, cookies: readonly string[], guard: EchoGuard): number {
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
