import type { Fields } from '../../http1/fields.ts';
import type { Layer, OutgoingRequest } from '../exchange.ts';

/**
 * Fields that belong to one connection and never travel on (RFC 9110, 7.6.1), and those that `Connection` names. Clients name them
 * here, before anything is attached: naming the key's header must not take the key away again.
 */
export function dropHopByHop(): Layer<OutgoingRequest> {
  return (inner) =>
    async function dropOnBothWays(request) {
      dropHopByHopFields(request.outgoing);
      const response = await inner(request);
      dropHopByHopFields(response.headers);
      return response;
    };
}

const hopByHop: ReadonlySet<string> = new Set([
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
]);

const isHopByHop = (name: string): boolean => hopByHop.has(name);

export function dropHopByHopFields(headers: Fields): void {
  const nominated = headers.get('connection');
  if (nominated !== null) for (const name of nominated.split(',')) deleteField(headers, name.trim());
  headers.deleteWhere(isHopByHop);
}

const fieldName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** A nomination that is no field name nominates nothing. */
function deleteField(headers: Fields, name: string): void {
  if (fieldName.test(name)) headers.delete(name);
}
