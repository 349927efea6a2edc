import type { JWTPayload } from 'jose';

import { credentialBytesMax } from '#contract/lease.ts';

import type { ClusterSignature } from './cluster-signature.ts';
import { readClaimed, refusedByClaims } from './claimed.ts';
import { unauthenticated } from './identification-results.ts';
import type { Identification, Proof, TrustedIssuer, UserIdentifier, UserProver } from './identification.ts';
import type { KubernetesIssuer, KubernetesTokenVerifier } from './kubernetes-token.ts';
import { userAudiences } from './kubernetes-token.ts';
import type { OidcIssuer, OidcVerifier } from './oidc.ts';

export interface UserIdentifierOptions {
  readonly oidc: Pick<OidcVerifier, 'verify'>;
  readonly kubernetes: Pick<KubernetesTokenVerifier, 'verify'>;
  /** Absent: no token of the cluster can be told from a made-up one without asking. */
  readonly clusterSignature?: ClusterSignature;
  /** Wall clock, for tokens that say themselves that they have ended. */
  readonly now: () => Date;
  /**
   * `iss` of this cluster's ServiceAccount tokens. When known, tokens of other issuers are not shown to the API server: they are
   * somebody else's, and a flood of them must not become a flood of TokenReviews.
   */
  readonly clusterIssuerURL?: string;
}

/** Identifies a user by the first trusted issuer that can prove who they are. */
export function createUserIdentifier(options: UserIdentifierOptions): UserIdentifier & UserProver {
  const proofOf: UserProver['proofOf'] = (credential, issuers) => chooseProof(options, credential, issuers);
  return {
    proofOf,
    identify: (credential, issuers) => {
      const proof = proofOf(credential, issuers);
      return proof.kind === 'settled' ? Promise.resolve(proof.result) : proof.prove();
    },
  };
}

const visibleAscii = /^[\x21-\x7e]+$/;

/** The unverified claims only pick who has to prove them; the verifier then demands exactly its own. */
function chooseProof(options: UserIdentifierOptions, credential: string, issuers: readonly TrustedIssuer[]): Proof {
  if (credential === '') return settled('CredentialMissing');
  if (credential.length > credentialBytesMax || !visibleAscii.test(credential)) return settled('CredentialMalformed');
  const claimed = readClaimed(credential);
  const named = issuers.filter((issuer) => issuer.type === 'OIDC').filter((issuer) => isNamed(issuer, claimed?.iss));
  if (claimed !== undefined && named.length > 0) return keysProof(options, { credential, claimed, named });
  const { clusterIssuerURL } = options;
  const cluster = issuers.find((issuer) => issuer.type === 'Kubernetes');
  if (cluster !== undefined && (clusterIssuerURL === undefined || clusterIssuerURL === claimed?.iss)) {
    return reviewProof(options, { credential, claimed, cluster });
  }
  return settled(claimed?.iss === undefined ? 'CredentialMalformed' : 'IssuerNotTrusted');
}

/** Subjects are stored under `issuer|id`; an issuer with a bar in it could be read as another one's user. */
function isNamed(issuer: OidcIssuer, claimed: string | undefined): boolean {
  return issuer.issuerURL === claimed && !issuer.issuerURL.includes('|');
}

interface NamedIssuers {
  readonly credential: string;
  readonly claimed: JWTPayload;
  readonly named: readonly OidcIssuer[];
}

function keysProof({ oidc, now }: UserIdentifierOptions, { credential, claimed, named }: NamedIssuers): Proof {
  const reasons = named.map(({ audiences }) => refusedByClaims(claimed, audiences, now().getTime()));
  const left = named.filter((_, index) => reasons[index] === undefined);
  if (left.length === 0) return settled(reasons.at(-1) ?? 'IssuerNotTrusted');
  return { kind: 'keys', prove: () => firstIdentified(oidc, credential, left) };
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

interface ClusterIssuer {
  readonly credential: string;
  readonly claimed: JWTPayload | undefined;
  readonly cluster: KubernetesIssuer;
}

function reviewProof(options: UserIdentifierOptions, { credential, claimed, cluster }: ClusterIssuer): Proof {
  const { kubernetes, clusterSignature, now } = options;
  // The API server maps the audience of other tokens than its own; what those say themselves decides nothing.
  if (claimed !== undefined && Object.hasOwn(claimed, 'kubernetes.io')) {
    const reason = refusedByClaims(claimed, userAudiences(cluster), now().getTime());
    if (reason !== undefined) return settled(reason);
  }
  return {
    kind: 'review',
    prove: () => kubernetes.verify(credential, cluster),
    isOurs: async () => (await clusterSignature?.isOn(credential, userAudiences(cluster))) ?? false,
  };
}

function settled(reason: Parameters<typeof unauthenticated>[0]): Proof {
  return { kind: 'settled', result: unauthenticated(reason) };
}
