import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { OpenedKey } from '#operator/keystore/key-store.ts';
import type { EffectiveHeader } from '#operator/policy/effective-headers.ts';

import { type KeyProblem, keyProblem } from './key-problem.ts';
import type { ReferencedSecrets } from './referenced-secrets.ts';
import type { SecretRef } from './secret-follower.ts';

/** A server with the headers that it asks for, after every policy had its say. */
export interface ServerWithHeaders {
  readonly server: McpServer;
  readonly headers: readonly EffectiveHeader[];
}

export type SharedOpening =
  /** Whoever gets it disposes the key. */
  { readonly kind: 'opened'; readonly key: OpenedKey } | { readonly kind: 'unusable'; readonly problem: KeyProblem };

/** What the key is for: requests of users, or only to learn what a server offers. */
export type KeyPurpose = 'shared' | 'discovery';

/** The keys of organizations, out of the Secrets that servers name. */
export class SharedKeys {
  readonly #secrets: Pick<ReferencedSecrets, 'stateOf' | 'open'>;

  constructor(secrets: Pick<ReferencedSecrets, 'stateOf' | 'open'>) {
    this.#secrets = secrets;
  }

  /** `undefined`: it can be used. */
  problemOf(asked: ServerWithHeaders, purpose: KeyPurpose): KeyProblem | undefined {
    const ref = refOf(asked.server, purpose);
    return ref === undefined ? { kind: 'notFound' } : this.#problemOf(asked, ref);
  }

  /** Of the key for requests of users; `undefined`: nothing is known of it. */
  versionOf(server: McpServer): number | undefined {
    const ref = refOf(server, 'shared');
    const state = ref === undefined ? undefined : this.#secrets.stateOf(ref);
    return state?.kind === 'found' ? state.version : undefined;
  }

  /** @throws KubeError when nobody can say what is in the Secret */
  async open(asked: ServerWithHeaders, purpose: KeyPurpose): Promise<SharedOpening> {
    const ref = refOf(asked.server, purpose);
    if (ref === undefined) return { kind: 'unusable', problem: { kind: 'notFound' } };
    const key = await this.#secrets.open(ref);
    const problem = this.#problemOf(asked, ref) ?? (key === undefined ? { kind: 'unknown' as const } : undefined);
    if (problem === undefined && key !== undefined) return { kind: 'opened', key };
    key?.[Symbol.dispose]();
    return { kind: 'unusable', problem: problem ?? { kind: 'unknown' } };
  }

  #problemOf({ server, headers }: ServerWithHeaders, ref: SecretRef): KeyProblem | undefined {
    return keyProblem({ server, headers, state: this.#secrets.stateOf(ref) });
  }
}

function refOf({ metadata, spec }: McpServer, purpose: KeyPurpose): SecretRef | undefined {
  const { sharedKeySecretRef, discoveryKeySecretRef } = spec.authentication;
  const ref = purpose === 'shared' ? sharedKeySecretRef : discoveryKeySecretRef;
  return ref && { namespace: metadata.namespace ?? '', name: ref.name };
}
