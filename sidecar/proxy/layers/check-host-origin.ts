import type { PolicySnapshot } from '../../contract/watch.ts';
import { ProxyError } from '../errors.ts';
import type { IncomingRequest, Layer } from '../exchange.ts';

/** What a proxy was started with, for all its servers. */
export interface HostsAndOrigins {
  /** Host names without port, lower case. Empty: any, as a server is reached under its Service, its pod and its ingress. */
  readonly hosts: readonly string[];
  /** Origins of the web pages that may call. Programs send none. */
  readonly origins: readonly string[];
  /** Host names that a server need not allow by itself. */
  readonly ownHosts: readonly string[];
}

/**
 * MCP, Streamable HTTP, "Security": a page in somebody's browser must not reach the server through a name it rebound. A host name has to
 * be allowed by the proxy and by the server, where they name any; an origin by one of them.
 */
export function checkHostOrigin<R extends IncomingRequest>(
  allowed: HostsAndOrigins,
  policy: () => PolicySnapshot | undefined,
): Layer<R> {
  const hosts = setUnlessEmpty(allowed.hosts);
  const origins = new Set(allowed.origins);
  const ofServer = sourcesInForce(policy, allowed.ownHosts);
  return (inner) =>
    function checkRequestHostOrigin(request) {
      const server = ofServer();
      const origin = request.headers.get('origin');
      if (origin !== null && !origins.has(origin) && !server.origins.has(origin)) {
        throw new ProxyError('OriginNotAllowed', 'Web pages of this origin may not call this server.');
      }
      if (hosts === undefined && server.hosts === undefined) return inner(request);
      const host = hostName(request.headers.get('host'));
      if (hosts?.has(host) === false || server.hosts?.has(host) === false) {
        throw new ProxyError('HostNotAllowed', 'This server is not served under this host name.');
      }
      return inner(request);
    };
}

interface Sources {
  readonly hosts: ReadonlySet<string> | undefined;
  readonly origins: ReadonlySet<string>;
}

/** A policy does not change, it is replaced. */
function sourcesInForce(policy: () => PolicySnapshot | undefined, ownHosts: readonly string[]): () => Sources {
  let readOf: PolicySnapshot | undefined;
  let sources: Sources = { hosts: undefined, origins: new Set() };
  return () => {
    const current = policy();
    if (current !== readOf) {
      readOf = current;
      const { hosts, origins = [] } = current?.allow ?? {};
      sources = {
        hosts: hosts === undefined ? undefined : new Set([...hosts, ...ownHosts]),
        origins: new Set(origins),
      };
    }
    return sources;
  };
}

function setUnlessEmpty(texts: readonly string[]): ReadonlySet<string> | undefined {
  return texts.length === 0 ? undefined : new Set(texts);
}

function hostName(host: string | null): string {
  return (host ?? '').toLowerCase().replace(/:\d*$/, '');
}
