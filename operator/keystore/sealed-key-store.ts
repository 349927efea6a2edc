import type { KeyObject } from 'node:crypto';

import type { ServerRef, Subject } from '#contract/lease.ts';
import { EnvelopeError } from '#operator/envelope/errors.ts';
import { parseHeader, type Envelope, type EnvelopeContext, type EnvelopeHeader } from '#operator/envelope/format.ts';
import { openEnvelope, type ExpectedContext } from '#operator/envelope/open.ts';
import { decodePayload, encodePayload } from '#operator/envelope/payload.ts';
import type { Randomness } from '#operator/envelope/randomness.ts';
import { sealEnvelope } from '#operator/envelope/seal.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { isKubeError } from '#operator/kube/errors.ts';
import type { Informer } from '#operator/kube/informer.ts';
import { secrets, type Secret } from '#operator/kube/resources.ts';

import { asKeyStoreError, KeyStoreError } from './errors.ts';
import type { FreshView } from './fresh-view.ts';
import type { LocalKekStore } from './kek-store.ts';
import type { DestroyOptions, KeyAddress, KeyHeader, KeyStore, OpenedKey, PutOptions, StoredKey } from './key-store.ts';
import { subjectKeyOf, userKeyName } from './names.ts';
import {
  envelopeIn,
  headerIn,
  ownerOf,
  sealedSecret,
  sealedSecretRef,
  type SealedSecretPlace,
} from './sealed-secret.ts';
import { contextEnds, endsIn, type HeaderEnds, withEnds } from './value-ends.ts';
import { nextVersion } from './version.ts';

export interface SealedKeyStoreOptions {
  readonly client: Pick<KubeClient, 'get' | 'create' | 'replace' | 'delete'>;
  /** Secrets of the key namespace, by `watchedSecretSelector`. */
  readonly informer: Pick<Informer<Secret>, 'store' | 'onChange'>;
  /** Whether the informer follows. */
  readonly view: Pick<FreshView, 'assure'>;
  readonly keyNamespace: string;
  /** UID of the namespace `kube-system`. */
  readonly clusterUid: string;
  readonly indexKey: KeyObject;
  readonly keks: Pick<LocalKekStore, 'wrapper' | 'reloadForUnknownKid'>;
  readonly randomness: Randomness;
  readonly now: () => Date;
}

/** The key store over sealed Secrets: reads from the informer, writes with optimistic locking. */
export class SealedKeyStore implements KeyStore {
  readonly #options: SealedKeyStoreOptions;
  /** Headers parsed already. A Secret that changes is another object. */
  readonly #headers = new WeakMap<Secret, EnvelopeHeader>();

  constructor(options: SealedKeyStoreOptions) {
    this.#options = options;
  }

  subjectKeyOf(subject: Subject): string {
    return subjectKeyOf(this.#options.indexKey, subject);
  }

  userKeyNameOf({ server, subject }: Pick<KeyAddress, 'server' | 'subject'>): string {
    return userKeyName(server, this.subjectKeyOf(subject));
  }

  find(address: KeyAddress): StoredKey | undefined {
    const secret = this.#cached(address);
    const header = secret === undefined ? undefined : this.#headerOf(secret);
    if (header === undefined || !isFor(header.context, this.#expected(address))) return undefined;
    return storedKeyOf(header);
  }

  async open(address: KeyAddress, versionMin: number): Promise<OpenedKey | undefined> {
    await this.#options.view.assure();
    const cached = this.#cached(address);
    if (cached !== undefined) {
      const version = this.#headerOf(cached)?.context.gen;
      if (version === undefined || version >= versionMin) return await this.#openSecret(cached, address, versionMin);
    } else if (versionMin === 0) {
      return undefined;
    }
    // The UserKey may be seen before the Secret: only what the API server says is rolled back or gone.
    const live = await this.#live(address);
    return live === undefined ? undefined : await this.#openSecret(live, address, versionMin);
  }

  async put(address: KeyAddress, headers: readonly KeyHeader[], options: PutOptions = {}): Promise<StoredKey> {
    const existing = await this.#live(address);
    const header = existing === undefined ? undefined : this.#headerOf(existing);
    this.#checkReplaceable(address, { existing, header }, options);
    // Not what the Secret says of itself, which nobody has authenticated.
    const gen = nextVersion(this.#options.now(), Math.max(options.replaces ?? 0, options.versionAbove ?? 0));
    const context: EnvelopeContext = {
      ...this.#expected(address),
      slot: slotOf(headers),
      gen,
      ...contextEnds(headers),
    };
    const envelope = await this.#seal(context, headers);
    try {
      await this.#write(sealedSecret(this.#place(address), envelope), existing);
    } catch (error) {
      if (!isKubeError(error, 'Conflict', 'AlreadyExists', 'NotFound')) throw error;
      throw new KeyStoreError('WriteConflict', { cause: error });
    }
    return storedKeyOf(parseHeader(envelope.header));
  }

  async destroy(address: Pick<KeyAddress, 'server' | 'subject'>, { upTo }: DestroyOptions = {}): Promise<boolean> {
    const ref = sealedSecretRef(this.#place(address));
    if (upTo === undefined) return await this.#options.client.delete(secrets, ref);
    const existing = await this.#live(address);
    if (existing === undefined) return false;
    // What it says of itself is enough: if it claims too much, it does not open.
    if ((this.#headerOf(existing)?.context.gen ?? 0) > upTo) return false;
    const { uid, resourceVersion } = existing.metadata;
    return await this.#options.client.delete(secrets, ref, {
      ...(uid !== undefined && { preconditionUid: uid }),
      ...(resourceVersion !== undefined && { preconditionResourceVersion: resourceVersion }),
    });
  }

  onChange(handler: (change: { readonly server: ServerRef; readonly subjectKey: string }) => void): void {
    this.#options.informer.onChange(({ object }) => {
      const owner = ownerOf(object);
      if (owner !== undefined) handler(owner);
    });
  }

  async #openSecret(secret: Secret, address: KeyAddress, versionMin: number): Promise<OpenedKey | undefined> {
    const envelope = envelopeIn(secret);
    if (envelope === undefined) throw new KeyStoreError('Unreadable');
    const header = this.#headerOf(secret);
    if (header !== undefined && isOfEarlierServer(header.context, this.#expected(address))) return undefined;
    try {
      return await this.#unseal(envelope, address, versionMin);
    } catch (error) {
      throw asKeyStoreError(error);
    }
  }

  async #unseal(envelope: Envelope, address: KeyAddress, versionMin: number): Promise<OpenedKey> {
    using opened = await this.#openEnvelope(envelope, this.#expected(address));
    const { slot, gen } = opened.header.context;
    if (gen < versionMin) throw new KeyStoreError('RolledBack');
    const ends = endsIn(opened.header.context);
    const headers = decodePayload(opened.payload).map((header) => withEnds(header, ends));
    const dispose = (): void => headers.forEach(({ value }) => value[Symbol.dispose]());
    if (slotOf(headers) === slot) return { version: gen, headers, ...knownEnds(ends), [Symbol.dispose]: dispose };
    dispose();
    throw new KeyStoreError('Unreadable');
  }

  async #openEnvelope(envelope: Envelope, expected: ExpectedContext) {
    const { keks } = this.#options;
    try {
      return await openEnvelope(envelope, expected, [keks.wrapper]);
    } catch (error) {
      const mayBeNew = error instanceof EnvelopeError && error.code === 'ERR_ENVELOPE_KEK_UNKNOWN';
      if (!mayBeNew || !(await keks.reloadForUnknownKid())) throw error;
      return await openEnvelope(envelope, expected, [keks.wrapper]);
    }
  }

  async #seal(context: EnvelopeContext, headers: readonly KeyHeader[]): Promise<Envelope> {
    const { keks, randomness, now } = this.#options;
    try {
      using payload = encodePayload(headers);
      return await sealEnvelope(payload, context, { wrappers: [keks.wrapper], randomness, now: now() });
    } catch (error) {
      throw asKeyStoreError(error);
    }
  }

  async #write(secret: ReturnType<typeof sealedSecret>, existing: Secret | undefined): Promise<void> {
    const { client } = this.#options;
    if (existing === undefined) {
      await client.create(secrets, secret);
      return;
    }
    const { uid, resourceVersion } = existing.metadata;
    const guard = { ...(uid !== undefined && { uid }), ...(resourceVersion !== undefined && { resourceVersion }) };
    const metadata = { ...secret.metadata, name: existing.metadata.name, ...guard };
    await client.replace(secrets, { ...secret, metadata });
  }

  /** Another user's key is never overwritten, whatever lies under the name. */
  #checkReplaceable(
    address: KeyAddress,
    { existing, header }: { readonly existing: Secret | undefined; readonly header: EnvelopeHeader | undefined },
    { replaces }: PutOptions,
  ): void {
    const owner = existing === undefined ? undefined : ownerOf(existing);
    if (owner !== undefined && owner.server.namespace !== address.server.namespace) {
      throw new KeyStoreError('ContextMismatch');
    }
    if (replaces === undefined) return;
    const mine = header !== undefined && isFor(header.context, this.#expected(address)) ? header.context.gen : 0;
    if (mine !== replaces) throw new KeyStoreError('WriteConflict');
  }

  #headerOf(secret: Secret): EnvelopeHeader | undefined {
    const known = this.#headers.get(secret);
    if (known !== undefined) return known;
    const header = headerIn(secret);
    if (header !== undefined) this.#headers.set(secret, header);
    return header;
  }

  #cached(address: Pick<KeyAddress, 'server' | 'subject'>): Secret | undefined {
    const { namespace, name } = sealedSecretRef(this.#place(address));
    return this.#options.informer.store.get(namespace, name);
  }

  async #live(address: Pick<KeyAddress, 'server' | 'subject'>): Promise<Secret | undefined> {
    return await this.#options.client.get(secrets, sealedSecretRef(this.#place(address)));
  }

  #place(address: Pick<KeyAddress, 'server' | 'subject'>): SealedSecretPlace {
    const { keyNamespace } = this.#options;
    return { keyNamespace, address, subjectKey: this.subjectKeyOf(address.subject) };
  }

  #expected(address: KeyAddress): ExpectedContext {
    const { organization, server, serverUid, subject } = address;
    return {
      cluster: this.#options.clusterUid,
      org: organization,
      ns: server.namespace,
      name: this.userKeyNameOf(address),
      iss: subject.issuer,
      sub: subject.id,
      server: serverUid,
    };
  }
}

/** Names of the headers that an envelope holds, as its context has them. */
function slotOf(headers: readonly Pick<KeyHeader, 'name'>[]): string {
  return headers
    .map(({ name }) => name.toLowerCase())
    .toSorted()
    .join(',');
}

function storedKeyOf({ context, created }: EnvelopeHeader): StoredKey {
  const ends = endsIn(context);
  return { version: context.gen, headerNames: context.slot.split(','), setAt: created, ...knownEnds(ends) };
}

function knownEnds(ends: readonly HeaderEnds[]): Pick<StoredKey, 'ends'> {
  return ends.length === 0 ? {} : { ends };
}

const placeFields = ['cluster', 'ns', 'name', 'iss', 'sub'] as const;

function isFor(context: EnvelopeContext, expected: ExpectedContext): boolean {
  return hasPlace(context, expected) && context.server === expected.server && context.org === expected.org;
}

/** A server made again under its name, or a namespace that moved to another organization: as if nothing were stored. */
function isOfEarlierServer(context: EnvelopeContext, expected: ExpectedContext): boolean {
  return hasPlace(context, expected) && (context.server !== expected.server || context.org !== expected.org);
}

function hasPlace(context: EnvelopeContext, expected: ExpectedContext): boolean {
  return placeFields.every((field) => context[field] === expected[field]);
}
