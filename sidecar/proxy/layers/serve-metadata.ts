import { Fields } from '../../http1/fields.ts';
import type { IncomingRequest, Layer, ProxyResponse } from '../exchange.ts';
import { metadataDocument, type ProtectedResource, wellKnownPath } from '../protected-resource.ts';

/**
 * Answers the one question that needs no login: where to log in. Clients ask below the path of the endpoint, and some at the root
 * (RFC 9728, 3.1), which only a proxy of one server can answer.
 */
export function serveMetadata<R extends IncomingRequest>(resource: ProtectedResource): Layer<R> {
  const { prefix, path } = resource.endpoint;
  const paths = new Set([`${wellKnownPath}${path}`, ...(prefix === '' ? [wellKnownPath] : [])]);
  return (inner) =>
    function serveResourceMetadata(request) {
      if (request.method !== 'GET' || !paths.has(request.path)) return inner(request);
      const document = metadataDocument(resource, request);
      if (document === undefined) return inner(request);
      request.record.decision = 'metadata';
      return Promise.resolve(answer(document));
    };
}

function answer(document: object): ProxyResponse {
  const headers = new Fields({
    'content-type': 'application/json',
    'cache-control': 'no-store',
    // Web pages may read it: it says nothing that is not public.
    'access-control-allow-origin': '*',
  });
  return { status: 200, headers, body: new TextEncoder().encode(JSON.stringify(document)) };
}
