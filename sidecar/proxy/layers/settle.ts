import type { LeavingSignal } from '../../http1/leaving.ts';
import type { Chunks } from '../chunks.ts';
import {
  type EndedRequest,
  type IncomingRequest,
  isChunks,
  type Layer,
  type ProxyResponse,
  type RequestRecord,
} from '../exchange.ts';

/** Finds out how a request ends, once, at the last byte of its response or when the client goes, and tells whoever asked. */
export function settle(clock: { readonly nowMs: () => number }): Layer<IncomingRequest> {
  return (inner) =>
    async function settleRequest(request) {
      const response = await inner(request);
      const ending = new Ending(request.record, response.status, clock.nowMs);
      return watchEnd(response, request.signal, ending);
    };
}

class Ending {
  readonly #record: RequestRecord;
  readonly #httpStatus: number;
  readonly #nowMs: () => number;
  #ended = false;
  responseBytes = 0;

  constructor(record: RequestRecord, httpStatus: number, nowMs: () => number) {
    this.#record = record;
    this.#httpStatus = httpStatus;
    this.#nowMs = nowMs;
  }

  complete(): void {
    this.#end(this.#httpStatus);
  }

  failed(): void {
    if (!this.#ended) this.#record.decision = 'upstreamUnavailable';
    this.#end(this.#httpStatus);
  }

  clientClosed(sent: 'nothing' | 'head'): void {
    if (!this.#ended) this.#record.decision = 'clientClosed';
    this.#end(sent === 'nothing' ? 0 : this.#httpStatus);
  }

  #end(httpStatus: number): void {
    if (this.#ended) return;
    this.#ended = true;
    const { putOffEnd } = this.#record;
    if (putOffEnd === undefined) this.#tell(httpStatus);
    else putOffEnd(() => this.#tell(httpStatus));
  }

  #tell(httpStatus: number): void {
    const durationMs = this.#nowMs() - this.#record.startedMs;
    const ended: EndedRequest = { record: this.#record, httpStatus, responseBytes: this.responseBytes, durationMs };
    for (const tell of this.#record.whenEnded) tell(ended);
  }
}

function watchEnd(response: ProxyResponse, signal: LeavingSignal, ending: Ending): ProxyResponse {
  const { body } = response;
  if (signal.aborted) {
    if (isChunks(body)) body.cancel();
    ending.clientClosed('nothing');
    return { ...response, body: undefined };
  }
  if (isChunks(body)) return { ...response, body: watchChunks(body, signal, ending) };
  ending.responseBytes = body?.byteLength ?? 0;
  ending.complete();
  return response;
}

function watchChunks(source: Chunks, signal: LeavingSignal, ending: Ending): Chunks {
  return {
    async read() {
      try {
        const chunk = await source.read();
        if (chunk === undefined) ending.complete();
        else ending.responseBytes += chunk.byteLength;
        return chunk;
      } catch (error) {
        // The upstream is aborted together with the client.
        if (signal.aborted) ending.clientClosed('head');
        else ending.failed();
        throw error;
      }
    },
    cancel() {
      ending.clientClosed('head');
      source.cancel();
    },
  };
}
