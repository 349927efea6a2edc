import type { ClassifiedRequest, Layer } from '../exchange.ts';

/** Puts the user's key into its headers. Whatever is there is replaced. */
export function attach(): Layer<ClassifiedRequest> {
  return (inner) =>
    async function attachKey(request) {
      if (request.permission.decision !== 'granted') return inner(request);
      const headers = new Headers(request.headers);
      for (const { name, value } of request.permission.headers) headers.set(name, value);
      return inner({ ...request, headers });
    };
}
