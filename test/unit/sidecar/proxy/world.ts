/** The stack with everything around it made of values: what a test of a layer needs. */
import type { RequestEvent } from '#contract/audit.ts';
import type { LeaseResponse } from '#contract/lease.ts';
import type { PolicySnapshot } from '#contract/watch.ts';
import { BodyBudget } from '#sidecar/proxy/body-budget.ts';
import { UserShares } from '#sidecar/proxy/user-shares.ts';
import { type Chunks, chunksOf, streamOf } from '#sidecar/proxy/chunks.ts';
import { ladderLimits } from '#sidecar/ladder/limits.ts';
import { HoldingPlaces } from '#sidecar/ladder/places.ts';
import { Drain } from '#sidecar/proxy/drain.ts';
import { type EndedRequest, type IncomingRequest, isChunks, type ProxyResponse } from '#sidecar/proxy/exchange.ts';
import type { UpstreamRequest } from '#sidecar/proxy/layers/forward.ts';
import type { Bounds } from '#sidecar/proxy/bounds-in-force.ts';
import type { PaceLimits } from '#sidecar/proxy/pace.ts';
import { Belongings } from '#sidecar/proxy/ownership.ts';
import { Pulse } from '#sidecar/proxy/pulse.ts';
import { newRecord } from '#sidecar/proxy/record.ts';
import { ingress, type IngressParts } from '#sidecar/proxy/stack.ts';
import { Fields } from '#sidecar/http1/fields.ts';

export const server = { namespace: 'team-a', name: 'notes' };
export const alice = { issuer: 'https://issuer.example', id: 'u-1', name: 'alice' };

export const granted: Extract<LeaseResponse, { decision: 'granted' }> = {
  decision: 'granted',
  leaseId: 'lease-1',
  subject: alice,
  subjectKey: 'abc',
  headers: [{ name: 'X-Api-Key', value: 'key-of-alice' }],
  keyVersion: 2,
  ttlMs: 30_000,
};

export const missing: Extract<LeaseResponse, { decision: 'missing' | 'invalid' | 'expired' | 'pendingApproval' }> = {
  decision: 'missing',
  subject: alice,
  subjectKey: 'abc',
  hints: [
    { name: 'X-Api-Key', title: 'Notes API key', help: 'Make a read-only key', helpURL: 'https://notes.example/keys' },
  ],
  message: 'Set it with: kubectl mcpkeys set notes -n team-a',
  ttlMs: 30_000,
};

export const policy: PolicySnapshot = {
  server,
  title: 'Notes',
  headers: [
    { name: 'X-Api-Key', required: true },
    { name: 'X-Second', required: false },
  ],
};

export const bounds: Bounds = { bodyBytesMax: 1_000, connectMsMax: 1_000, answerMsMax: undefined };

export const pace: PaceLimits = {
  bodyMsMax: 1_000,
  windowBytesMin: 200,
  windowMs: 500,
};

export interface World {
  readonly parts: IngressParts;
  readonly forwarded: UpstreamRequest[];
  readonly events: RequestEvent[];
  readonly ended: EndedRequest[];
  readonly unexpected: unknown[];
  readonly drain: Drain;
  readonly send: (request?: Partial<SentRequest>) => Promise<ProxyResponse>;
}

export interface SentRequest {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: Record<string, string>;
  readonly body: string | Uint8Array | ReadableStream<Uint8Array> | IncomingRequest['body'];
  readonly signal: AbortSignal;
}

export interface WorldOptions extends Partial<IngressParts> {
  readonly lease?: LeaseResponse | (() => Promise<LeaseResponse>);
  readonly respond?: (request: UpstreamRequest) => ProxyResponse | Promise<ProxyResponse>;
  readonly places?: number;
}

export function world(options: WorldOptions = {}): World {
  const forwarded: UpstreamRequest[] = [];
  const events: RequestEvent[] = [];
  const ended: EndedRequest[] = [];
  const unexpected: unknown[] = [];
  const drain = new Drain();
  let places = options.places ?? 100;
  let nowMs = 1_000;
  const { lease = granted, respond = () => json(200, { jsonrpc: '2.0', id: 1, result: {} }) } = options;
  const parts: IngressParts = {
    server,
    endpoint: { path: '/mcp', prefix: '' },
    allowed: { hosts: [], origins: [], ownHosts: [] },
    bounds: () => bounds,
    pace,
    bodies: new BodyBudget(3_000),
    userPlaces: new UserShares(1_000),
    leases: {
      lease: async () => (typeof lease === 'function' ? lease() : lease),
      changed: (_subjectKey, signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve())),
    },
    held: new HoldingPlaces(ladderLimits),
    limiter: { take: () => ({ kind: 'granted' }) },
    limited: { limited: () => {}, uncounted: () => {} },
    outcomes: { isWatching: false, rejected: () => {}, accepted: () => {}, ends: () => {} },
    policy: () => policy,
    queue: {
      reserve: () => {
        if (places === 0) return false;
        places -= 1;
        return true;
      },
      fill: (event) => events.push(event),
    },
    metrics: { begin: () => {}, end: (request) => ended.push(request) },
    drain,
    pulse: new Pulse(),
    belongings: new Belongings(),
    upstream: async (request) => {
      forwarded.push(request);
      return respond(request);
    },
    clock: { nowMs: () => (nowMs += 5) },
    reportUnexpected: (error) => unexpected.push(error),
    ...options,
  };
  const handler = ingress(parts);
  const send: World['send'] = (request = {}) => handler(incoming(request));
  return { parts, forwarded, events, ended, unexpected, drain, send };
}

export function rpc(method: string, params: object = {}, id: string | number = 1): string {
  return JSON.stringify({ jsonrpc: '2.0', id, method, params });
}

export const toolCall = rpc('tools/call', { name: 'search', arguments: {} });

export function json(status: number, value: unknown, headers: Record<string, string> = {}): ProxyResponse {
  const body = new TextEncoder().encode(JSON.stringify(value));
  return { status, headers: new Fields({ 'content-type': 'application/json', ...headers }), body };
}

/** An event stream that yields the texts one by one. */
export function stream(...texts: readonly string[]): ProxyResponse {
  return { status: 200, headers: new Fields({ 'content-type': 'text/event-stream' }), body: chunksFrom(...texts) };
}

function incoming(sent: Partial<SentRequest>): IncomingRequest {
  const { method = 'POST', path = '/mcp', query = '', signal = new AbortController().signal } = sent;
  const body = sent.body ?? (method === 'POST' ? toolCall : '');
  const headers = {
    authorization: 'Bearer alice',
    ...(method === 'POST' ? { 'content-type': 'application/json' } : {}),
    ...sent.headers,
  };
  return {
    method,
    path,
    query,
    signal,
    peer: '10.0.0.1',
    headers: new Fields(headers),
    body: bodySource(body),
    record: newRecord(method, { startedMs: 1_000, at: new Date(Date.UTC(2026, 10, 24)) }),
  };
}

function bodySource(body: SentRequest['body']): IncomingRequest['body'] {
  if (body instanceof ReadableStream) return announced(body, undefined);
  if (typeof body !== 'string' && !(body instanceof Uint8Array)) return body;
  const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body;
  return {
    declaredBytes: bytes.byteLength,
    here: () => bytes,
    chunks: () => chunksOf(new Response(Uint8Array.from(bytes)).body!),
  };
}

/** A body that says how long it is, and comes as it likes. */
export function announced(
  stream: ReadableStream<Uint8Array>,
  declaredBytes: number | undefined,
): IncomingRequest['body'] {
  return { declaredBytes, here: () => undefined, chunks: () => chunksOf(stream) };
}

export async function bodyOf(response: ProxyResponse): Promise<string> {
  return isChunks(response.body) ? textOf(response.body) : new TextDecoder().decode(response.body);
}

export async function textOf(chunks: Chunks): Promise<string> {
  return new Response(streamOf(chunks)).text();
}

export async function jsonOf(response: ProxyResponse): Promise<unknown> {
  return JSON.parse(await bodyOf(response));
}

/** A stream that yields the texts one by one. */
export function streamFrom(...texts: readonly string[]): ReadableStream<Uint8Array> {
  return ReadableStream.from(texts.map((text) => new TextEncoder().encode(text)));
}

export function chunksFrom(...texts: readonly string[]): Chunks {
  return chunksOf(streamFrom(...texts));
}

/** Never yields anything. */
export function silence(onCancel = (): void => {}): Chunks {
  return chunksOf(new ReadableStream<Uint8Array>({ cancel: onCancel }));
}

/** Breaks off before the first byte. */
export function brokenChunks(): Chunks {
  return chunksOf(new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(new Error('reset')) }));
}
