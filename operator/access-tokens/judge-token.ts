import { kubernetesSubjectIssuer } from '#contract/set-command.ts';
import type { ServerRef, UnauthenticatedReason } from '#contract/lease.ts';
import type { AccessToken } from '#crds/v1alpha1/generated/access-token.ts';
import type { Identification, TrustedIssuer } from '#operator/identity/identification.ts';
import type { Tenancy } from '#operator/tenancy/tenancy.ts';

export interface TokenQuestion {
  /** Found by its hash; undefined: there is none. */
  readonly token: AccessToken | undefined;
  /** Where it was shown. */
  readonly server: ServerRef;
  readonly organization: Extract<Tenancy, { kind: 'organization' }>;
  readonly nowMs: number;
}

/** One sentence for all of these, so that nobody learns which tokens there are from what is said of them elsewhere. */
const unknown = refused(
  'SignatureInvalid',
  'The access token is not known here: it was revoked, or it is for other servers. Create one: kubectl mcpkeys token create',
);
const expired = refused('TokenExpired', 'The access token has expired. Create a new one: kubectl mcpkeys token create');

export const mistypedToken = refused(
  'CredentialMalformed',
  'The access token is not whole or was mistyped: its checksum does not fit. Copy it again.',
);

/** Pure. Whom an access token stands for at a server. It is worth nothing outside its namespace, its organization and its servers. */
export function judgeToken({ token, server, organization, nowMs }: TokenQuestion): Identification {
  const { accessTokens, name, issuers } = organization;
  if (token === undefined || accessTokens === undefined) return unknown;
  const { metadata, spec } = token;
  if (metadata.namespace !== server.namespace || spec.organization !== name) return unknown;
  if (metadata.deletionTimestamp !== undefined || !spec.servers.includes(server.name)) return unknown;
  if (!issuers.some((issuer) => vouchesFor(issuer, spec.owner.issuer))) return unknown;
  const expiresAtMs = endOf(token, accessTokens.maxAgeMs);
  if (!(nowMs < expiresAtMs)) return expired;
  const { issuer, id, name: shown } = spec.owner;
  return { kind: 'identified', subject: { issuer, id, name: shown }, groups: spec.groups, expiresAtMs };
}

/** Pure. A maximum age that was lowered holds for tokens that are there already. NaN, which ends everything, when it cannot be told. */
export function endOf({ metadata, spec }: AccessToken, maxAgeMs: number): number {
  return Math.min(Date.parse(spec.expiresAt), Date.parse(metadata.creationTimestamp ?? '') + maxAgeMs);
}

/** Who could not log in any more has no token that goes on. */
function vouchesFor(issuer: TrustedIssuer, owner: string): boolean {
  return issuer.type === 'Kubernetes' ? owner === kubernetesSubjectIssuer : owner === issuer.issuerURL;
}

function refused(reason: UnauthenticatedReason, message: string): Identification {
  return { kind: 'unauthenticated', reason, message };
}
