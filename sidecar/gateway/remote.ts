import type { PolicySnapshot, ServerUpstream } from '../contract/watch.ts';
import { ProxyError } from '../proxy/errors.ts';
import type { Upstream } from '../proxy/layers/forward.ts';

export type RemoteUpstream = Extract<ServerUpstream, { kind: 'remote' }>;

/** The declared origin of a server, as it is declared at the moment of each request. What was declared before ends with its requests. */
export function followRemote(
  policy: () => PolicySnapshot | undefined,
  create: (remote: RemoteUpstream) => Upstream,
): Upstream {
  let current: { readonly remote: RemoteUpstream; readonly send: Upstream } | undefined;
  return function sendToRemote(request) {
    const upstream = policy()?.upstream;
    if (upstream?.kind !== 'remote') throw notServed();
    if (current === undefined || !isSame(current.remote, upstream)) {
      current = { remote: upstream, send: create(upstream) };
    }
    return current.send(request);
  };
}

function isSame(one: RemoteUpstream, other: RemoteUpstream): boolean {
  return (
    one === other ||
    (one.url === other.url && one.ca === other.ca && one.allowPrivateAddresses === other.allowPrivateAddresses)
  );
}

export function notServed(): ProxyError {
  return new ProxyError('UpstreamUnavailable', 'This MCP server is not reached through this address.');
}
