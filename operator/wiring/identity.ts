import { decodeJwt } from 'jose';

import { createIdentity, type Identity } from '#operator/identity/create-identity.ts';

import type { Platform } from './platform.ts';

/** Who users and pods are; shared, so that what one part learned the other need not ask again. */
export async function startIdentity({ client, clock, source }: Platform): Promise<Identity> {
  const clusterIssuerURL = issuerOf((await source()).token);
  return createIdentity({
    client,
    monotonicMs: () => clock.nowMs(),
    now: () => new Date(),
    ...(clusterIssuerURL === undefined ? {} : { clusterIssuerURL }),
  });
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
