import { hpkeKeyPair, hpkeSizes, type HpkeKeyPair } from '#cli/contract/hpke.ts';
import { intakeSuite } from '#cli/contract/user-key-request.ts';
import { intakeConfigMapName } from '#crds/v1alpha1/names.ts';
import type { Randomness } from '#operator/envelope/randomness.ts';
import { SecretBytes } from '#operator/envelope/secret-bytes.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { configMaps } from '#operator/kube/resources.ts';
import { KeyStoreError } from '#operator/keystore/errors.ts';
import { readKeyMaterial, replaceKeyMaterial } from '#operator/keystore/key-material.ts';
import type { RawSecret } from '#operator/keystore/secret-json.ts';

import { intakeFieldManager } from './user-key-object.ts';
import { decideRotation, type IntakeKeyAge } from './key-rotation.ts';

export const intakeSecretName = 'mcp-keyring-intake';

const createdSuffix = '.created';
const keyIdPattern = /^intake-[0-9a-f]{8}$/;

export interface IntakeKeysOptions {
  readonly client: Pick<KubeClient, 'getRaw' | 'replaceRaw' | 'apply'>;
  /** The operator's own. */
  readonly namespace: string;
  readonly randomness: Randomness;
  readonly now: () => Date;
}

interface IntakeKey extends IntakeKeyAge {
  readonly pair: HpkeKeyPair;
}

/**
 * The X25519 keys that requests are sealed to. Secret `mcp-keyring-intake`: entry `<key id>` = 32 bytes, entry `<key id>.created` =
 * RFC 3339. The public part of the newest is in the ConfigMap of the same name, for everybody.
 */
export class IntakeKeys {
  readonly #options: IntakeKeysOptions;
  #keys: ReadonlyMap<string, IntakeKey> = new Map();

  constructor(options: IntakeKeysOptions) {
    this.#options = options;
  }

  keyPairOf(keyId: string): HpkeKeyPair | undefined {
    return this.#keys.get(keyId)?.pair;
  }

  /** Loads, rotates when it is time, publishes. Only for the leader; harmless to repeat. */
  async refresh(): Promise<void> {
    using secret = await readKeyMaterial(this.#options.client, this.#ref);
    const keys = keysOf(secret);
    const { generate, drop } = decideRotation(keys, this.#options.now().getTime());
    if (generate || drop.length > 0) {
      await this.#rotate(secret, { generate, drop });
      using rotated = await readKeyMaterial(this.#options.client, this.#ref);
      this.#take(keysOf(rotated));
    } else {
      this.#take(keys);
    }
    await this.#publish();
  }

  get #ref() {
    return { namespace: this.#options.namespace, name: intakeSecretName };
  }

  #take(keys: readonly IntakeKey[]): void {
    this.#keys = new Map(keys.map((key) => [key.keyId, key]));
  }

  async #rotate(
    secret: RawSecret,
    { generate, drop }: { readonly generate: boolean; readonly drop: readonly string[] },
  ): Promise<void> {
    const dropped = new Set(drop.flatMap((keyId) => [keyId, keyId + createdSuffix]));
    const entries = new Map<string, Uint8Array>();
    for (const [name, value] of secret.data) if (!dropped.has(name)) entries.set(name, value.bytes);
    using fresh = SecretBytes.alloc(hpkeSizes.key);
    if (generate) {
      const keyId = this.#newKeyId();
      this.#options.randomness(fresh.bytes);
      entries.set(keyId, fresh.bytes);
      entries.set(keyId + createdSuffix, Buffer.from(this.#options.now().toISOString()));
    }
    await replaceKeyMaterial(this.#options.client, secret, entries);
  }

  #newKeyId(): string {
    const id = Buffer.alloc(4);
    this.#options.randomness(id);
    return `intake-${id.toString('hex')}`;
  }

  async #publish(): Promise<void> {
    const [newest] = [...this.#keys.values()].toSorted((left, right) => right.createdAtMs - left.createdAtMs);
    if (newest === undefined) throw new KeyStoreError('KeyMaterialMalformed');
    const data = { keyId: newest.keyId, publicKey: newest.pair.publicKey.toString('base64'), suite: intakeSuite };
    const metadata = { namespace: this.#options.namespace, name: intakeConfigMapName };
    const configMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data };
    await this.#options.client.apply(configMaps, configMap, { fieldManager: intakeFieldManager });
  }
}

/** @throws KeyStoreError `KeyMaterialMalformed` */
function keysOf(secret: RawSecret): readonly IntakeKey[] {
  return [...secret.data]
    .filter(([name]) => !name.endsWith(createdSuffix))
    .map(([keyId, bytes]) => {
      const createdAtMs = Date.parse(secret.data.get(keyId + createdSuffix)?.bytes.toString() ?? '');
      if (!keyIdPattern.test(keyId) || bytes.byteLength !== hpkeSizes.key || Number.isNaN(createdAtMs)) {
        throw new KeyStoreError('KeyMaterialMalformed');
      }
      return { keyId, createdAtMs, pair: hpkeKeyPair(bytes.bytes) };
    });
}
