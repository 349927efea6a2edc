/**
 * What tells a client where its user logs in: the document of RFC 9728 (OAuth 2.0 Protected Resource Metadata), and the challenge of a
 * 401 that leads to it. Clients compare `resource` with the URL they use, so it has to be the URL as they see it.
 */
import type { PolicySnapshot } from '../contract/watch.ts';
import type { IncomingRequest } from './exchange.ts';
import type { Endpoint } from './layers/check-target.ts';

export interface ProtectedResource {
  readonly endpoint: Endpoint;
  /** Scheme and host in the URLs that clients use. Absent: what they say in `Host`. */
  readonly externalUrl?: string | undefined;
  readonly policy: () => PolicySnapshot | undefined;
}

/** RFC 9728, 3.1: this stands between host and path. */
export const wellKnownPath = '/.well-known/oauth-protected-resource';

/** `undefined` where nobody can log in, or the client does not say how it calls us. */
export function metadataDocument(resource: ProtectedResource, request: IncomingRequest): object | undefined {
  const issuers = issuersOf(resource);
  const base = baseUrl(resource, request);
  if (issuers.length === 0 || base === undefined) return undefined;
  const { prefix, path } = resource.endpoint;
  return {
    resource: `${base}${prefix}${path}`,
    authorization_servers: issuers,
    // Clients ask for what stands here, and many providers give nothing to who asks for nothing. Every OpenID provider has this one.
    scopes_supported: resource.policy()?.scopes ?? ['openid'],
    bearer_methods_supported: ['header'],
    resource_name: resource.policy()?.title,
  };
}

/** A parameter of `WWW-Authenticate` (RFC 9728, 5.1); `undefined` where there is no document. */
export function metadataParameter(resource: ProtectedResource, request: IncomingRequest): string | undefined {
  const base = issuersOf(resource).length === 0 ? undefined : baseUrl(resource, request);
  const { prefix, path } = resource.endpoint;
  return base === undefined ? undefined : `resource_metadata="${base}${wellKnownPath}${prefix}${path}"`;
}

function issuersOf({ policy }: ProtectedResource): readonly string[] {
  return policy()?.issuers ?? [];
}

/** Only what can be a host: it is written into a header. */
const hostForm = /^(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i;

/** A client that lies about host or scheme misleads nobody but itself: the answer is not cached. */
function baseUrl({ externalUrl }: ProtectedResource, { headers }: IncomingRequest): string | undefined {
  if (externalUrl !== undefined) return externalUrl;
  const host = headers.get('host') ?? '';
  if (!hostForm.test(host)) return undefined;
  return `${headers.get('x-forwarded-proto') === 'https' ? 'https' : 'http'}://${host}`;
}
