import type { OutgoingRequest, Layer } from '../exchange.ts';

/**
 * Looks at the upstream's answer without touching its body. A 401 to an injected key is about that key: its challenge would make
 * the client log in at a place that knows nothing of the client's own credential, so it stays here.
 */
export function observe(): Layer<OutgoingRequest> {
  return (inner) =>
    async function observeResponse(request) {
      const response = await inner(request);
      if (response.status === 401 && request.permission.decision === 'granted') {
        response.headers.delete('www-authenticate');
      }
      return response;
    };
}
