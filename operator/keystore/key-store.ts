import type { ServerRef, Subject } from '#contract/lease.ts';
import type { SecretBytes } from '#operator/envelope/secret-bytes.ts';

/** One header of a user key. `name` as declared; `value` is what the user typed, normalised, template not applied. */
export interface KeyHeader {
  readonly name: string;
  readonly value: SecretBytes;
}

/** The opened key of one user at one server; disposing it zeroes every value. */
export interface OpenedKey extends Disposable {
  readonly version: number;
  readonly headers: readonly KeyHeader[];
}

/** Where a key belongs. `serverUid` binds it to this very McpServer, not to a later one of the same name. */
export interface KeyAddress {
  readonly organization: string;
  readonly server: ServerRef;
  readonly serverUid: string;
  readonly subject: Subject;
}

/** What is stored, readable without opening it. */
export interface StoredKey {
  readonly version: number;
  readonly headerNames: readonly string[];
  readonly setAt: string;
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
  find(address: KeyAddress): StoredKey | undefined;
  /** Refuses a version below `versionMin` (what the UserKey records): a rolled-back Secret does not open. */
  open(address: KeyAddress, versionMin: number): Promise<OpenedKey | undefined>;
  /** Seals all headers under a new data key as version + 1. Zeroing `headers` stays the caller's duty. */
  put(address: KeyAddress, headers: readonly KeyHeader[]): Promise<StoredKey>;
  /** Resolves false when there was nothing. */
  destroy(address: Pick<KeyAddress, 'server' | 'subject'>): Promise<boolean>;
  /** Called with the server and the subject key whenever a stored key appears, changes or goes. */
  onChange(handler: (change: { readonly server: ServerRef; readonly subjectKey: string }) => void): void;
}
