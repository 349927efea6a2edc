import type { AccessToken } from '#crds/v1alpha1/generated/access-token.ts';
import type { Informer } from '#operator/kube/informer.ts';

/**
 * Access tokens by namespace and hash, as the informer sees them. Never by the hash alone: whoever has read one and makes a token of it
 * in a namespace of their own must not take the place of the one that is there.
 */
export class AccessTokenIndex {
  readonly #tokens = new Map<string, AccessToken>();

  constructor(tokens: Pick<Informer<AccessToken>, 'onChange'>) {
    tokens.onChange((change) => {
      const { metadata, spec } = change.object;
      const key = keyOf(metadata.namespace ?? '', spec.hash);
      if (change.kind !== 'deleted') this.#tokens.set(key, change.object);
      else if (this.#tokens.get(key)?.metadata.uid === metadata.uid) this.#tokens.delete(key);
    });
  }

  find(namespace: string, hash: string): AccessToken | undefined {
    return this.#tokens.get(keyOf(namespace, hash));
  }
}

function keyOf(namespace: string, hash: string): string {
  return `${namespace}/${hash}`;
}
