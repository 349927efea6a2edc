import { createSecretKey, type KeyObject } from 'node:crypto';

import type { Randomness } from '#operator/envelope/randomness.ts';
import { SecretBytes } from '#operator/envelope/secret-bytes.ts';

import { KeyStoreError } from './errors.ts';
import { initialisedKeyMaterial, type RawSecretClient } from './key-material.ts';

export const indexSecretName = 'mcp-keyring-index';

const entry = 'key';
const indexKeyBytes = 32;

export interface IndexKeyOptions {
  readonly client: RawSecretClient;
  /** The operator's own. */
  readonly namespace: string;
  readonly hasSealedKeys: () => Promise<boolean>;
  readonly randomness: Randomness;
}

/** The key of the hash that names users. It never changes: with another one, nobody's key would be found again. */
export async function openIndexKey(options: IndexKeyOptions): Promise<KeyObject> {
  const { client, namespace, hasSealedKeys, randomness } = options;
  const generate = (): ReadonlyMap<string, SecretBytes> => {
    const key = SecretBytes.alloc(indexKeyBytes);
    randomness(key.bytes);
    return new Map([[entry, key]]);
  };
  const ref = { namespace, name: indexSecretName };
  using secret = await initialisedKeyMaterial({ client, ref, hasSealedKeys, generate });
  const bytes = secret.data.get(entry)?.bytes;
  if (bytes?.byteLength !== indexKeyBytes) throw new KeyStoreError('KeyMaterialMalformed');
  return createSecretKey(bytes);
}
