import { isSubscription } from '../../mcp/methods.ts';
import type { ClassifiedRequest, Layer, OutgoingRequest, ProxyResponse } from '../exchange.ts';

export interface DrainSignal {
  /** Calls `end` when the sidecar stops; the result takes that back. */
  onStop(end: () => void): () => void;
}

/**
 * Ends the streams that a client keeps open for as long as it lives when the sidecar stops, at once and cleanly: the client
 * opens the next one elsewhere. Waiting for them would only use up the time that real answers have to finish.
 */
export function endAtDrain(drain: DrainSignal): Layer<OutgoingRequest> {
  return (inner) =>
    async function endLongStreamAtDrain(request) {
      const response = await inner(request);
      return isOpenEnded(request) && response.body instanceof ReadableStream
        ? { ...response, body: endable(response.body, drain) }
        : response;
    };
}

function isOpenEnded({ method, message }: ClassifiedRequest): boolean {
  return method === 'GET' || (message?.kind === 'request' && isSubscription(message.method));
}

function endable(source: ReadableStream<Uint8Array>, drain: DrainSignal): NonNullable<ProxyResponse['body']> {
  const reader = source.getReader();
  const forget = drain.onStop(() => void reader.cancel().catch(() => {}));
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          // Cancelling the reader settles a read that waits as done.
          const { done, value } = await reader.read();
          if (!done) return controller.enqueue(value);
          forget();
          controller.close();
        } catch (error) {
          forget();
          controller.error(error);
        }
      },
      cancel(reason) {
        forget();
        return reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}
