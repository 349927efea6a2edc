import type { SecretBytes } from '#operator/envelope/secret-bytes.ts';
import type { KubeClient, ObjectRef } from '#operator/kube/client.ts';
import { isKubeError } from '#operator/kube/errors.ts';
import { secrets } from '#operator/kube/resources.ts';

import { KeyStoreError } from './errors.ts';
import { parseRawSecret, writeRawSecret, type RawSecret } from './secret-json.ts';

export type RawSecretClient = Pick<KubeClient, 'getRaw' | 'replaceRaw'>;

/** Attempts to write first; each loss means that another replica wrote, so the next read finds it done. */
export const initialiseAttemptsMax = 5;

/** @throws KeyStoreError `SecretNotFound`: the chart makes these Secrets, the operator may not create any here. */
export async function readKeyMaterial(client: RawSecretClient, ref: ObjectRef): Promise<RawSecret> {
  const json = await client.getRaw(secrets, ref);
  if (json === undefined) throw new KeyStoreError('SecretNotFound');
  try {
    return parseRawSecret(json);
  } finally {
    json.fill(0);
  }
}

/** Replaces all entries, guarded by the resourceVersion that `secret` was read at. @throws KubeError `Conflict` */
export async function replaceKeyMaterial(
  client: RawSecretClient,
  secret: Pick<RawSecret, 'object'>,
  data: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  const { namespace, name } = secret.object.metadata;
  using body = writeRawSecret(secret.object, data);
  const answer = await client.replaceRaw(secrets, { ...(namespace !== undefined && { namespace }), name }, body.bytes);
  answer.fill(0);
}

export interface Initialisation {
  readonly client: RawSecretClient;
  readonly ref: ObjectRef;
  /** Whether keys exist that only the lost content could open. */
  readonly hasSealedKeys: () => Promise<boolean>;
  /** The first content. Disposed once it is written. */
  readonly generate: () => ReadonlyMap<string, SecretBytes>;
}

/**
 * The content of a Secret that is filled once. Of several replicas that find it empty, one writes and the others read what it
 * wrote.
 * @throws KeyStoreError `KeyMaterialLost`
 */
export async function initialisedKeyMaterial(options: Initialisation): Promise<RawSecret> {
  const { client, ref, hasSealedKeys, generate } = options;
  for (let attempt = 1; attempt <= initialiseAttemptsMax; attempt += 1) {
    const secret = await readKeyMaterial(client, ref);
    if (secret.data.size > 0) return secret;
    if (await hasSealedKeys()) throw new KeyStoreError('KeyMaterialLost');
    const fresh = generate();
    try {
      const bytes = new Map([...fresh].map(([name, value]) => [name, value.bytes] as const));
      await replaceKeyMaterial(client, secret, bytes);
    } catch (error) {
      if (!isKubeError(error, 'Conflict')) throw error;
    } finally {
      for (const value of fresh.values()) value[Symbol.dispose]();
    }
  }
  throw new KeyStoreError('WriteConflict');
}
