import type { KeyObject } from 'node:crypto';

import { LocalKekWrapper, localKek, localKekBytes, type LocalKekSet } from '#operator/envelope/local-kek.ts';
import type { KeyWrapper } from '#operator/envelope/key-wrapper.ts';
import type { Randomness } from '#operator/envelope/randomness.ts';
import { SecretBytes } from '#operator/envelope/secret-bytes.ts';
import type { Informer } from '#operator/kube/informer.ts';
import type { Log } from '#operator/kube/observers.ts';
import type { KubeObject } from '#operator/kube/resource.ts';

import { KeyStoreError } from './errors.ts';
import { initialisedKeyMaterial, readKeyMaterial, type RawSecretClient } from './key-material.ts';
import type { RawSecret } from './secret-json.ts';

export const kekSecretName = 'mcp-keyring-kek';

/** Pauses between reloads that an unknown key id asks for, so that foreign envelopes cannot make a load. */
export const kekReloadMsMin = 5_000;

const currentEntry = 'current';
const kidPattern = /^local-[0-9a-f]{8}$/;

export interface KekStoreOptions {
  readonly client: RawSecretClient;
  /** The operator's own. */
  readonly namespace: string;
  readonly hasSealedKeys: () => Promise<boolean>;
  readonly randomness: Randomness;
  readonly monotonicMs: () => number;
  readonly log: Log;
}

/**
 * The local KEKs, from the Secret `mcp-keyring-kek`: entry `<kid>` = 32 bytes, entry `current` = the kid that wraps. Read as bytes,
 * kept as `KeyObject`s. What this cannot reach: the buffers of the TLS connection, until they are used again; the replica that fills
 * the Secret on the very first start keeps what it sent there (measured: one base64 copy) until it restarts.
 */
export class LocalKekStore {
  readonly wrapper: KeyWrapper;
  readonly #options: KekStoreOptions;
  #set: LocalKekSet;
  #loading: Promise<void> | undefined;
  #isStale = false;
  #reloadedAtMs: number;

  private constructor(options: KekStoreOptions, set: LocalKekSet) {
    this.#options = options;
    this.#set = set;
    this.#reloadedAtMs = options.monotonicMs() - kekReloadMsMin;
    this.wrapper = new LocalKekWrapper(() => this.#set, options.randomness);
  }

  /** Fills the Secret when it is empty and nothing is sealed yet. @throws KeyStoreError */
  static async open(options: KekStoreOptions): Promise<LocalKekStore> {
    const { client, namespace, hasSealedKeys, randomness } = options;
    const ref = { namespace, name: kekSecretName };
    const generate = (): ReadonlyMap<string, SecretBytes> => firstKek(randomness);
    using secret = await initialisedKeyMaterial({ client, ref, hasSealedKeys, generate });
    return new LocalKekStore(options, kekSetOf(secret));
  }

  get currentKid(): string {
    return this.#set.currentKid;
  }

  get kids(): readonly string[] {
    return [...this.#set.keks.keys()];
  }

  /** Follows the Secret; `informer` may see metadata only. What cannot be read leaves the KEKs as they are. */
  follow(informer: Pick<Informer<KubeObject>, 'onChange'>): void {
    let first = true;
    informer.onChange((change) => {
      const wasFirst = first;
      first = false;
      if (!wasFirst && change.kind !== 'deleted') void this.#reload();
    });
  }

  /** For an envelope with an unknown key id: another replica may have added a KEK a moment ago. False: too soon to ask again. */
  async reloadForUnknownKid(): Promise<boolean> {
    if (this.#loading === undefined && this.#options.monotonicMs() - this.#reloadedAtMs < kekReloadMsMin) return false;
    await this.#reload();
    return true;
  }

  /** A change that comes during a read is read again: the running one may have been too early. */
  async #reload(): Promise<void> {
    this.#isStale = true;
    this.#loading ??= this.#readWhileStale().finally(() => {
      this.#loading = undefined;
    });
    await this.#loading;
  }

  async #readWhileStale(): Promise<void> {
    while (this.#isStale) {
      this.#isStale = false;
      await this.#read();
    }
  }

  async #read(): Promise<void> {
    this.#reloadedAtMs = this.#options.monotonicMs();
    try {
      const ref = { namespace: this.#options.namespace, name: kekSecretName };
      using secret = await readKeyMaterial(this.#options.client, ref);
      this.#set = kekSetOf(secret);
      this.#options.log.info('key-encryption keys loaded', { currentKid: this.currentKid, kids: this.kids });
    } catch (error) {
      this.#options.log.error('key-encryption keys could not be loaded, the ones before stay in use', {
        ...(error instanceof Error && { error }),
      });
    }
  }
}

function firstKek(randomness: Randomness): ReadonlyMap<string, SecretBytes> {
  const id = Buffer.alloc(4);
  randomness(id);
  const kid = `local-${id.toString('hex')}`;
  const kek = SecretBytes.alloc(localKekBytes);
  randomness(kek.bytes);
  return new Map([
    [kid, kek],
    [currentEntry, SecretBytes.takeFrom(Buffer.from(kid))],
  ]);
}

/** All or nothing: a Secret that is wrong in one entry is not half used. @throws KeyStoreError `KeyMaterialMalformed` */
function kekSetOf(secret: RawSecret): LocalKekSet {
  const keks = new Map<string, KeyObject>();
  for (const [kid, bytes] of secret.data) {
    if (kid === currentEntry) continue;
    if (!kidPattern.test(kid) || bytes.byteLength !== localKekBytes) throw new KeyStoreError('KeyMaterialMalformed');
    keks.set(kid, localKek(bytes));
  }
  const currentKid = secret.data.get(currentEntry)?.bytes.toString();
  if (currentKid === undefined || !keks.has(currentKid)) throw new KeyStoreError('KeyMaterialMalformed');
  return { currentKid, keks };
}
