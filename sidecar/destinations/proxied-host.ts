import { ProxyError } from '../proxy/errors.ts';
import { addressKind } from './address-ranges.ts';
import { addressRefusal } from './destination.ts';

/** Names that belong to a network of somebody's own (RFC 6761, RFC 6762, RFC 8375, RFC 9476), as ICANN reserves `internal`. */
const ownNetwork = /(?:^|\.)(?:localhost|local|internal|home\.arpa|svc|cluster\.local|alt)$/;

/**
 * Pure. What can be judged where a forward proxy looks names up: addresses as they are written, and names that mean a network of one's
 * own. Which addresses other names lead to is for the proxy to judge.
 * @param hostname as `URL` gives it: an IPv6 address stands in brackets
 * @throws ProxyError `DestinationRefused`
 */
export function checkProxiedHost(hostname: string, allowPrivateAddresses: boolean): void {
  const kind = kindOf(hostname.replace(/^\[|\]$/g, '').replace(/\.$/, ''));
  if (kind === 'public' || (kind === 'private' && allowPrivateAddresses)) return;
  throw new ProxyError('DestinationRefused', addressRefusal);
}

function kindOf(host: string): ReturnType<typeof addressKind> {
  const kind = addressKind(host);
  if (kind !== undefined) return kind;
  return ownNetwork.test(host) || !host.includes('.') ? 'private' : 'public';
}
