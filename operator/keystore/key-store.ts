import type { ServerRef, Subject } from '#contract/lease.ts';
import type { SecretBytes } from '#operator/envelope/secret-bytes.ts';

import type { HeaderEnds, ValueEnds } from './value-ends.ts';

/** One header of a user key. `name` as declared; `value` is what the user typed, normalised, template not applied. */
export interface KeyHeader {
  readonly name: string;
  readonly value: SecretBytes;
  readonly ends?: ValueEnds;
}

/** The opened key of one user at one server; disposing it zeroes every value. */
export interface OpenedKey extends Disposable {
  readonly version: number;
  readonly headers: readonly KeyHeader[];
  /** Of the headers of which an end is known. */
  readonly ends?: readonly HeaderEnds[];
}

/** Where a key belongs. `serverUid` binds it to this very McpServer, not to a later one of the same name. */
export interface KeyAddress {
  readonly organization: string;
  readonly server: ServerRef;
  readonly serverUid: string;
  readonly subject: Subject;
}

/** What is stored, readable without opening it (and so not authentic: fit for a status, not for a decision about a key). */
export interface StoredKey {
  readonly version: number;
  /** Lower case. */
  readonly headerNames: readonly string[];
  readonly setAt: string;
  /** Of the headers of which an end is known. */
  readonly ends?: readonly HeaderEnds[];
}

export interface PutOptions {
  /** The new version is above this too: what the UserKey has on record. */
  readonly versionAbove?: number;
  /**
   * The version that the caller has opened, and nothing else: the new one is above it. Refuse (`WriteConflict`) when another is
   * stored by now; 0: when anything is stored for this very server.
   */
  readonly replaces?: number;
}

export interface DestroyOptions {
  /** Spare a later version than this. Absent: destroy whatever there is. */
  readonly upTo?: number;
}

/**
 * Sealed keys in the key namespace. Reads come from an informer cache; rejections are `KeyStoreError` with a stable code
 * (unreadable, rolled back, context mismatch, KEK missing, write conflict).
 */
export interface KeyStore {
  /** The opaque id of a subject: 16 base32 characters of a keyed hash. */
  subjectKeyOf(subject: Subject): string;
  /** Name of the UserKey of that address. */
  userKeyNameOf(address: Pick<KeyAddress, 'server' | 'subject'>): string;
  /** Resolves `undefined` also for what is not a sealed key of this very server; it never throws. */
  find(address: KeyAddress): StoredKey | undefined;
  /** `undefined` when nothing is stored for this very server. Refuses a version below `versionMin` (what the UserKey records): a rolled-back Secret does not open. */
  open(address: KeyAddress, versionMin: number): Promise<OpenedKey | undefined>;
  /** Seals all headers under a new data key, as a version that was never used before. Zeroing `headers` stays the caller's duty. */
  put(address: KeyAddress, headers: readonly KeyHeader[], options?: PutOptions): Promise<StoredKey>;
  /** Resolves false when there was nothing, or nothing that `upTo` covers. */
  destroy(address: Pick<KeyAddress, 'server' | 'subject'>, options?: DestroyOptions): Promise<boolean>;
  /** Called with the server and the subject key whenever a stored key appears, changes or goes. */
  onChange(handler: (change: { readonly server: ServerRef; readonly subjectKey: string }) => void): void;
}
