import { ProxyError } from '../errors.ts';
import type { IncomingRequest, Layer } from '../exchange.ts';

export interface HostsAndOrigins {
  /** Host names without port, lower case. Empty: any, as a server is reached under its Service, its pod and its ingress. */
  readonly hosts: readonly string[];
  /** Origins of the web pages that may call. Programs send none. */
  readonly origins: readonly string[];
}

/** MCP, Streamable HTTP, "Security": a page in somebody's browser must not reach the server through a name it rebound. */
export function checkHostOrigin<R extends IncomingRequest>(allowed: HostsAndOrigins): Layer<R> {
  const hosts = new Set(allowed.hosts);
  const origins = new Set(allowed.origins);
  return (inner) =>
    function checkRequestHostOrigin(request) {
      const origin = request.headers.get('origin');
      if (origin !== null && !origins.has(origin)) {
        throw new ProxyError('OriginNotAllowed', 'Web pages of this origin may not call this server.');
      }
      if (hosts.size > 0 && !hosts.has(hostName(request.headers.get('host')))) {
        throw new ProxyError('HostNotAllowed', 'This server is not served under this host name.');
      }
      return inner(request);
    };
}

function hostName(host: string | null): string {
  return (host ?? '').toLowerCase().replace(/:\d*$/, '');
}
