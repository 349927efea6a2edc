import type { IncomingRequest, Layer } from '../exchange.ts';

/**
 * Fields that belong to one connection and never travel on (RFC 9110, 7.6.1), and those that `Connection` names. Clients name them
 * here, before anything is attached: naming the key's header must not take the key away again.
 */
export function dropHopByHop<R extends IncomingRequest>(): Layer<R> {
  return (inner) =>
    async function dropHopByHopFields(request) {
      const response = await inner({ ...request, headers: withoutHopByHop(request.headers) });
      return { ...response, headers: withoutHopByHop(response.headers) };
    };
}

const hopByHop = [
  'connection',
  'expect',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

function withoutHopByHop(original: Headers): Headers {
  const headers = new Headers(original);
  for (const name of headers.get('connection')?.split(',') ?? []) deleteField(headers, name.trim());
  for (const name of hopByHop) headers.delete(name);
  return headers;
}

const fieldName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** A nomination that is no field name nominates nothing. */
function deleteField(headers: Headers, name: string): void {
  if (fieldName.test(name)) headers.delete(name);
}
