import type { KubeClient } from '#operator/kube/client.ts';

import { type ClusterSignature, createClusterSignature } from './cluster-signature.ts';
import type { UserIdentifier, UserProver } from './identification.ts';
import { KubernetesTokenVerifier } from './kubernetes-token.ts';
import { OidcVerifier } from './oidc.ts';
import { TokenReviewer } from './token-review.ts';
import { createUserIdentifier } from './user-identifier.ts';

export interface IdentityOptions {
  readonly client: Pick<KubeClient, 'review'>;
  readonly monotonicMs: () => number;
  readonly now: () => Date;
  /** `iss` of this cluster's ServiceAccount tokens, when it is known. */
  readonly clusterIssuerURL?: string;
  /** The public keys of those tokens, from the API server. */
  readonly fetchClusterKeys?: () => Promise<unknown>;
}

export interface Identity {
  /** For broker and intake. */
  readonly users: UserIdentifier & UserProver;
  /** For the broker's check of pods. */
  readonly reviewer: TokenReviewer;
  close(): Promise<void>;
}

/** One of these in a process: its caches are what keeps questions to issuers and to the API server few. */
export function createIdentity(options: IdentityOptions): Identity {
  const { client, monotonicMs, now, clusterIssuerURL } = options;
  const reviewer = new TokenReviewer({ client, monotonicMs });
  const oidc = new OidcVerifier({ now, monotonicMs });
  const kubernetes = new KubernetesTokenVerifier(reviewer);
  const clusterSignature = clusterSignatureOf(options);
  const users = createUserIdentifier({
    oidc,
    kubernetes,
    now,
    ...(clusterIssuerURL === undefined ? {} : { clusterIssuerURL }),
    ...(clusterSignature === undefined ? {} : { clusterSignature }),
  });
  return { users, reviewer, close: () => oidc.close() };
}

function clusterSignatureOf(options: IdentityOptions): ClusterSignature | undefined {
  const { clusterIssuerURL, fetchClusterKeys: fetchKeySet, now, monotonicMs } = options;
  if (clusterIssuerURL === undefined || fetchKeySet === undefined) return undefined;
  return createClusterSignature({ clusterIssuerURL, fetchKeySet, now, monotonicMs });
}
