import { ProxyError } from '../errors.ts';
import type { Layer } from '../exchange.ts';
import type { IncomingRequest } from '../exchange.ts';

const methods: ReadonlySet<string> = new Set(['POST', 'GET', 'DELETE']);

/** Serves one MCP endpoint: nothing else of the container behind is reachable through the sidecar. */
export function checkTarget<R extends IncomingRequest>(endpoint: { readonly path: string }): Layer<R> {
  return (inner) =>
    function checkRequestTarget(request) {
      if (request.path !== endpoint.path) {
        throw new ProxyError('PathNotFound', `The MCP endpoint of this server is ${endpoint.path}.`);
      }
      if (!methods.has(request.method)) {
        throw new ProxyError('MethodNotAllowed', 'MCP uses POST, GET and DELETE.', {
          headers: { allow: 'POST, GET, DELETE' },
        });
      }
      return inner(request);
    };
}
