import { type Chunks, tellingEnd } from '../chunks.ts';
import { isChunks, type Layer, type OutgoingRequest, type ProxyResponse } from '../exchange.ts';
import { isOpenEnded } from './watch-answer.ts';

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
      return isOpenEnded(request) ? endWithDrain(response, drain) : response;
    };
}

/** As `endAtDrain`, for a response of which only that it is a GET's is known. */
export function endWithDrain(response: ProxyResponse, drain: DrainSignal): ProxyResponse {
  return isChunks(response.body) ? { ...response, body: endable(response.body, drain) } : response;
}

function endable(source: Chunks, drain: DrainSignal): Chunks {
  const forget = drain.onStop(() => (source.endSoon === undefined ? source.cancel() : source.endSoon()));
  return tellingEnd(source, forget);
}
