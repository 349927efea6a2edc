import type { EndedRequest, IncomingRequest, Layer, ProxyResponse, RequestRecord } from '../exchange.ts';

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
    const durationMs = this.#nowMs() - this.#record.startedMs;
    const ended: EndedRequest = { record: this.#record, httpStatus, responseBytes: this.responseBytes, durationMs };
    for (const tell of this.#record.whenEnded) tell(ended);
  }
}

function watchEnd(response: ProxyResponse, signal: AbortSignal, ending: Ending): ProxyResponse {
  if (signal.aborted) {
    if (response.body instanceof ReadableStream) void response.body.cancel().catch(ignore);
    ending.clientClosed('nothing');
    return { ...response, body: null };
  }
  if (response.body instanceof ReadableStream) {
    return { ...response, body: watchStream(response.body, signal, ending) };
  }
  ending.responseBytes = response.body?.byteLength ?? 0;
  ending.complete();
  return response;
}

/** Hands on each chunk as it is, only when it is asked for: a slow client slows the upstream down, nothing is stored between. */
function watchStream(
  source: ReadableStream<Uint8Array>,
  signal: AbortSignal,
  ending: Ending,
): ReadableStream<Uint8Array> {
  const reader = source.getReader();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (!done) {
            ending.responseBytes += value.byteLength;
            controller.enqueue(value);
            return;
          }
          ending.complete();
          controller.close();
        } catch (error) {
          // The upstream is aborted together with the client.
          if (signal.aborted) ending.clientClosed('head');
          else ending.failed();
          controller.error(error);
        }
      },
      cancel() {
        ending.clientClosed('head');
        void reader.cancel().catch(ignore);
      },
    },
    { highWaterMark: 0 },
  );
}

function ignore(): void {
  // The upstream connection is gone either way.
}
