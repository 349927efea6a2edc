import type { TrustedIssuer } from './identification.ts';

/**
 * Pure. MCP clients ask the identity provider for a token for the URL that they call (RFC 8707), and some providers write that URL
 * as its audience. Such a token is good at that one server, whatever audiences the organization names.
 */
export function withResource(
  issuers: readonly TrustedIssuer[],
  resource: string | undefined,
): readonly TrustedIssuer[] {
  if (resource === undefined) return issuers;
  return issuers.map((issuer) =>
    issuer.type === 'OIDC' ? { ...issuer, audiences: [...issuer.audiences, resource] } : issuer,
  );
}
