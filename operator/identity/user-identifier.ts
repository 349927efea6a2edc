import { decodeJwt } from 'jose';

import { credentialBytesMax } from '#contract/lease.ts';

import { unauthenticated } from './identification-results.ts';
import type { Identification, TrustedIssuer, UserIdentifier } from './identification.ts';
import type { KubernetesIssuer, KubernetesTokenVerifier } from './kubernetes-token.ts';
import type { OidcIssuer, OidcVerifier } from './oidc.ts';

export interface UserIdentifierOptions {
  readonly oidc: Pick<OidcVerifier, 'verify'>;
  readonly kubernetes: Pick<KubernetesTokenVerifier, 'verify'>;
  /**
   * `iss` of this cluster's ServiceAccount tokens. When known, tokens of other issuers are not shown to the API server: they are
   * somebody else's, and a flood of them must not become a flood of TokenReviews.
   */
  readonly clusterIssuerURL?: string;
}

/** Identifies a user by the first trusted issuer that can prove who they are. */
export function createUserIdentifier(options: UserIdentifierOptions): UserIdentifier {
  return {
    identify: (credential, issuers) => identify(options, credential, issuers),
  };
}

type Choice =
  | { readonly kind: 'oidc'; readonly issuers: readonly OidcIssuer[] }
  | { readonly kind: 'kubernetes'; readonly issuer: KubernetesIssuer }
  | { readonly kind: 'none'; readonly result: Identification };

async function identify(
  options: UserIdentifierOptions,
  credential: string,
  issuers: readonly TrustedIssuer[],
): Promise<Identification> {
  const choice = chooseVerifier(credential, issuers, options.clusterIssuerURL);
  switch (choice.kind) {
    case 'none':
      return choice.result;
    case 'kubernetes':
      return options.kubernetes.verify(credential, choice.issuer);
    case 'oidc':
      return firstIdentified(options.oidc, credential, choice.issuers);
    default:
      return choice satisfies never;
  }
}

async function firstIdentified(
  oidc: UserIdentifierOptions['oidc'],
  credential: string,
  issuers: readonly OidcIssuer[],
): Promise<Identification> {
  let result = unauthenticated('IssuerNotTrusted');
  for (const issuer of issuers) {
    result = await oidc.verify(credential, issuer);
    if (result.kind === 'identified') return result;
  }
  return result;
}

const visibleAscii = /^[\x21-\x7e]+$/;

/** The unverified `iss` only picks who has to prove it; the verifier then demands exactly its own. */
function chooseVerifier(
  credential: string,
  issuers: readonly TrustedIssuer[],
  clusterIssuerURL: string | undefined,
): Choice {
  if (credential === '') return none('CredentialMissing');
  if (credential.length > credentialBytesMax || !visibleAscii.test(credential)) return none('CredentialMalformed');
  const claimed = unverifiedIssuer(credential);
  const named = issuers.filter((issuer) => issuer.type === 'OIDC').filter((issuer) => isNamed(issuer, claimed));
  if (named.length > 0) return { kind: 'oidc', issuers: named };
  const cluster = issuers.find((issuer) => issuer.type === 'Kubernetes');
  if (cluster !== undefined && (clusterIssuerURL === undefined || clusterIssuerURL === claimed)) {
    return { kind: 'kubernetes', issuer: cluster };
  }
  return none(claimed === undefined ? 'CredentialMalformed' : 'IssuerNotTrusted');
}

/** Subjects are stored under `issuer|id`; an issuer with a bar in it could be read as another one's user. */
function isNamed(issuer: OidcIssuer, claimed: string | undefined): boolean {
  return issuer.issuerURL === claimed && !issuer.issuerURL.includes('|');
}

function none(reason: Parameters<typeof unauthenticated>[0]): Choice {
  return { kind: 'none', result: unauthenticated(reason) };
}

function unverifiedIssuer(credential: string): string | undefined {
  try {
    return decodeJwt(credential).iss;
  } catch {
    return undefined;
  }
}
