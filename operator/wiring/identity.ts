import { decodeJwt } from 'jose';

import type { UserIdentifier } from '#operator/identity/identification.ts';
import { KubernetesTokenVerifier } from '#operator/identity/kubernetes-token.ts';
import { OidcVerifier } from '#operator/identity/oidc.ts';
import { TokenReviewer } from '#operator/identity/token-review.ts';
import { createUserIdentifier } from '#operator/identity/user-identifier.ts';

import type { Platform } from './platform.ts';

export interface Identity {
  readonly identifier: UserIdentifier;
  readonly reviewer: TokenReviewer;
}

/** Who users and pods are; shared, so that what one part learned the other need not ask again. */
export async function createIdentity({ client, clock, source }: Platform): Promise<Identity> {
  const monotonicMs = (): number => clock.nowMs();
  const reviewer = new TokenReviewer({ client, monotonicMs });
  const clusterIssuerURL = issuerOf((await source()).token);
  const identifier = createUserIdentifier({
    oidc: new OidcVerifier({ now: () => new Date(), monotonicMs }),
    kubernetes: new KubernetesTokenVerifier(reviewer),
    ...(clusterIssuerURL === undefined ? {} : { clusterIssuerURL }),
  });
  return { identifier, reviewer };
}

/** Our own token is of the cluster's issuer. With a kubeconfig there may be none; then every token is shown to the API server. */
function issuerOf(token: string | undefined): string | undefined {
  if (token === undefined) return undefined;
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}
