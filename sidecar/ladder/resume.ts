import { abortSignalOf } from '../http1/leaving.ts';
import type { LeaseResponse } from '../contract/lease.ts';
import { rpcCodes, rpcErrorBody } from '../mcp/answers.ts';
import type { BoundToSession, Handler, KeyAbsence, Permission, ProxyResponse } from '../proxy/exchange.ts';
import type { DrainSignal } from '../proxy/layers/end-at-drain.ts';
import { credentialOf, type LeaseSource, takeLease } from '../proxy/layers/identify.ts';
import { userOf } from '../proxy/sessions.ts';
import { holdOpen } from './held-answer.ts';
import type { Ladder, Retry } from './ladder.ts';
import type { HoldingPlaces } from './places.ts';
import { waitForKey } from './wait-for-key.ts';

export interface ResumeParts {
  readonly ladder: Ladder;
  readonly leases: LeaseSource;
  readonly held: HoldingPlaces;
  readonly drain: DrainSignal;
  /** Turns what went wrong into an answer, as `rescue` does for requests that are not held. */
  readonly rescue: (error: unknown, request: BoundToSession) => ProxyResponse;
}

/**
 * Takes a call up again whose user was asked for a key. When the key is there it goes on; otherwise it is held while the user types,
 * and goes on by itself when the broker says that something has changed. When time is up the client asks its user again.
 */
export class Resumption {
  readonly #parts: ResumeParts;

  constructor(parts: ResumeParts) {
    this.#parts = parts;
  }

  async resume(request: BoundToSession, retry: Retry, inner: Handler<BoundToSession>): Promise<ProxyResponse> {
    const call = { ...request, bytes: retry.bytes, asked: retry.state?.rounds ?? 0 };
    if (isUsable(call.permission, retry)) return inner(call);
    if (retry.action === 'decline' || retry.action === 'cancel') return this.#ask(call, retry, { declined: true });
    const place = this.#parts.held.take(userOf(call.record.subject), call.bytes.byteLength);
    if (place === undefined) return this.#ask(call, retry);
    const { limits } = this.#parts.ladder;
    if (!takesEvents(call)) return this.#hold({ call, retry, inner, place, msMax: limits.silentHoldMsMax });
    const leaving = new AbortController();
    const signal = AbortSignal.any([abortSignalOf(call.signal), leaving.signal]);
    const held = { call: { ...call, signal }, retry, inner, place, msMax: limits.holdMsMax };
    const answer = this.#hold(held).catch((error: unknown) => this.#parts.rescue(error, call));
    return holdOpen(answer, {
      commentEveryMs: limits.commentEveryMs,
      cancel: () => leaving.abort(),
      unusable: (status) => unusableAnswer(call, status),
    });
  }

  async #hold({ call, retry, inner, place, msMax }: Held): Promise<ProxyResponse> {
    let permission = call.permission;
    {
      using _place = place;
      const lease = await this.#wait(call, retry, msMax);
      if (lease !== undefined) permission = takeLease(call.record, lease);
    }
    // After that long the upstream may think differently of the same key; it is sent once more, not for ever.
    const isWorthATry = permission.decision === 'granted' && !call.signal.aborted;
    return isWorthATry ? inner({ ...call, permission }) : this.#ask({ ...call, permission }, retry);
  }

  async #wait(call: BoundToSession, retry: Retry, msMax: number): Promise<LeaseResponse | undefined> {
    const { leases, drain, ladder } = this.#parts;
    const { subjectKey } = call.permission;
    if (subjectKey === undefined) return undefined;
    const stopping = new AbortController();
    const forget = drain.onStop(() => stopping.abort());
    try {
      return await waitForKey({
        leases,
        credential: credentialOf(call.headers),
        subjectKey,
        isEnough: (lease) => isFinal(lease) || isUsable(lease, retry),
        msMax,
        pollMs: ladder.limits.pollMs,
        signal: AbortSignal.any([abortSignalOf(call.signal), stopping.signal]),
      });
    } finally {
      forget();
    }
  }

  #ask(call: BoundToSession, { state }: Retry, options: { readonly declined?: boolean } = {}): Promise<ProxyResponse> {
    const { ladder } = this.#parts;
    const refusedVersion = state?.refusedVersion;
    const { permission } = call;
    const absence: KeyAbsence = permission.decision === 'granted' ? ladder.rejection(permission) : permission;
    return Promise.resolve(ladder.answer(call, absence, { ...options, refusedVersion }));
  }
}

interface Held {
  readonly call: BoundToSession;
  readonly retry: Retry;
  readonly inner: Handler<BoundToSession>;
  readonly place: Disposable;
  readonly msMax: number;
}

/** A key that the upstream has refused in this very call is none. */
function isUsable(lease: Permission | LeaseResponse, { state }: Retry): boolean {
  return lease.decision === 'granted' && lease.keyVersion !== state?.refusedVersion;
}

/** Nothing that the user does at the page changes these. */
function isFinal({ decision }: LeaseResponse): boolean {
  return decision === 'denied' || decision === 'unauthenticated';
}

function takesEvents({ headers }: BoundToSession): boolean {
  return headers.get('accept')?.toLowerCase().includes('text/event-stream') === true;
}

function unusableAnswer({ message }: BoundToSession, status: number): Uint8Array {
  const text = 'The MCP server behind the proxy gave no answer to the request.';
  const error = { code: rpcCodes.upstreamUnavailable, message: text, data: { httpStatus: status } };
  return rpcErrorBody(error, message?.kind === 'request' ? message.id : undefined);
}
