import { decodeJwt } from 'jose';

import { fetchClusterKeys } from '#operator/identity/cluster-keys.ts';
import { createIdentity, type Identity } from '#operator/identity/create-identity.ts';

import type { Platform } from './platform.ts';

/** Who users and pods are; shared, so that what one part learned the other need not ask again. */
export function startIdentity({ client, clock, transport }: Platform, clusterIssuerURL: string | undefined): Identity {
  return createIdentity({
    client,
    monotonicMs: () => clock.nowMs(),
    now: () => new Date(),
    fetchClusterKeys: () => fetchClusterKeys(transport),
    ...(clusterIssuerURL === undefined ? {} : { clusterIssuerURL }),
  });
}

/**
 * `iss` of this cluster's tokens: our own is one. With a kubeconfig there may be none; then every token is shown to the API server.
 */
export async function clusterIssuerOf({ source }: Platform): Promise<string | undefined> {
  const { token } = await source();
  if (token === undefined) return undefined;
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}
