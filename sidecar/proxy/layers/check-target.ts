import { ProxyError } from '../errors.ts';
import type { Layer } from '../exchange.ts';
import type { IncomingRequest } from '../exchange.ts';
import type { MessageStreams } from '../message-streams.ts';

const methods: ReadonlySet<string> = new Set(['POST', 'GET', 'DELETE']);

export interface Endpoint {
  /** Path of the MCP endpoint below the prefix. */
  readonly path: string;
  /** What stands before the path in the URL that clients use, and is taken away before a request comes here; empty in a sidecar. */
  readonly prefix: string;
}

/**
 * Serves one MCP endpoint, and the paths that the server has named for messages: nothing else of the container behind is reachable
 * through the sidecar.
 */
export function checkTarget<R extends IncomingRequest>(endpoint: Endpoint, streams: MessageStreams): Layer<R> {
  return (inner) =>
    function checkRequestTarget(request) {
      const { path, method } = request;
      if (path !== endpoint.path && !(method === 'POST' && streams.hasPath(path))) {
        throw new ProxyError('PathNotFound', `The MCP endpoint of this server is ${endpoint.prefix}${endpoint.path}.`);
      }
      if (!methods.has(method)) {
        throw new ProxyError('MethodNotAllowed', 'MCP uses POST, GET and DELETE.', {
          headers: { allow: 'POST, GET, DELETE' },
        });
      }
      return inner(request);
    };
}
