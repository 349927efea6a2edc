import type { IssuerHttp } from './issuer-http.ts';
import { OidcVerifier } from './oidc.ts';

export interface ClusterSignatureOptions {
  /** `iss` of this cluster's ServiceAccount tokens. */
  readonly clusterIssuerURL: string;
  /** The public keys of those tokens (RFC 7517), as the API server publishes them. */
  readonly fetchKeySet: () => Promise<unknown>;
  readonly now: () => Date;
  readonly monotonicMs: () => number;
}

/**
 * Tells tokens that this cluster made from made-up ones, in this process. It is no identification: whether a token still counts,
 * only the API server knows. It decides who is worth a question when strangers have asked too many.
 */
export interface ClusterSignature {
  /** Never rejects; false also when the keys cannot be had. */
  isOn(token: string, audiences: readonly string[]): Promise<boolean>;
}

export function createClusterSignature(options: ClusterSignatureOptions): ClusterSignature {
  const { clusterIssuerURL: issuerURL, fetchKeySet, now, monotonicMs } = options;
  const keySetURL = 'cluster:keys';
  // The document of the API server may name an address for others; we know where its keys are.
  const http: IssuerHttp = {
    fetchJson: (url) =>
      url === keySetURL ? fetchKeySet() : Promise.resolve({ issuer: issuerURL, jwks_uri: keySetURL }),
    close: () => Promise.resolve(),
  };
  const verifier = new OidcVerifier({ now, monotonicMs, createHttp: () => http });
  const claims = { subject: 'sub', groups: 'groups', name: 'sub' };
  return {
    isOn: async (token, audiences) => {
      const result = await verifier.verify(token, { type: 'OIDC', name: 'cluster', issuerURL, audiences, claims });
      return result.kind === 'identified';
    },
  };
}
