import type { KubeClient } from '#operator/kube/client.ts';

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
}

export interface Identity {
  /** For broker and intake. */
  readonly users: UserIdentifier & UserProver;
  /** For the broker's check of pods. */
  readonly reviewer: TokenReviewer;
  close(): Promise<void>;
}

/** One of these in a process: its caches are what keeps questions to issuers and to the API server few. */
export function createIdentity({ client, monotonicMs, now, clusterIssuerURL }: IdentityOptions): Identity {
  const reviewer = new TokenReviewer({ client, monotonicMs });
  const oidc = new OidcVerifier({ now, monotonicMs });
  const kubernetes = new KubernetesTokenVerifier(reviewer);
  const users = createUserIdentifier({
    oidc,
    kubernetes,
    now,
    ...(clusterIssuerURL === undefined ? {} : { clusterIssuerURL }),
  });
  return { users, reviewer, close: () => oidc.close() };
}
