import type { HeaderField } from '#cli/contract/header-list.ts';
import { SecretBytes } from '#operator/envelope/secret-bytes.ts';
import { jwtExpiryMs } from '#operator/key-state/jwt-expiry.ts';
import { KeyStoreError, type KeyStoreErrorCode } from '#operator/keystore/errors.ts';
import type { KeyHeader, KeyStore, OpenedKey } from '#operator/keystore/key-store.ts';
import type { ValueEnds } from '#operator/keystore/value-ends.ts';
import { sameHeader } from '#operator/policy/effective-headers.ts';

import type { ObservedServer } from './observe.ts';

export interface Merge {
  readonly target: ObservedServer;
  readonly fields: readonly HeaderField[];
  /** When the given values end, as their user says. */
  readonly declaredEndMs?: number | undefined;
  /** Absent: the UserKey is new. */
  readonly onRecord: number | undefined;
}

/** What a key would hold: the given headers, and the others that are still declared. Disposing it zeroes every value. */
export interface MergedValues extends Disposable {
  readonly values: readonly KeyHeader[];
  readonly replacing: { readonly replaces?: number };
  readonly replacedUnreadable: boolean;
}

/** @throws KeyStoreError */
export async function mergeValues(keyStore: Pick<KeyStore, 'open'>, merge: Merge): Promise<MergedValues> {
  const { target, fields, onRecord, declaredEndMs } = merge;
  using building = new DisposableStack();
  const existing = await openExisting(keyStore, target, onRecord);
  if (existing.kind === 'opened') building.use(existing.key);
  const kept = existing.kind === 'opened' ? keptHeaders(existing.key, target, fields) : [];
  const set = fields.map(({ name, value }) => ({
    name,
    value: building.use(copyOf(value)),
    ends: endsOf(value, declaredEndMs),
  }));
  const owned = building.move();
  return {
    values: [...kept, ...set],
    replacing: replacing(existing),
    replacedUnreadable: existing.kind === 'unreadable',
    [Symbol.dispose]: () => owned.dispose(),
  };
}

type Existing =
  | { readonly kind: 'opened'; readonly key: OpenedKey }
  | { readonly kind: 'nothing' }
  | { readonly kind: 'unreadable' };

/**
 * What does not open is replaced: to set the key anew is what its user is asked to do. Without the KEK it may be sound. Of a UserKey
 * without a version on record no key is, and so none of its headers are kept.
 */
async function openExisting(
  keyStore: Pick<KeyStore, 'open'>,
  target: ObservedServer,
  onRecord: number | undefined,
): Promise<Existing> {
  try {
    const key = await keyStore.open(target.address, onRecord ?? Number.POSITIVE_INFINITY);
    return key === undefined ? { kind: 'nothing' } : { kind: 'opened', key };
  } catch (error) {
    if (!(error instanceof KeyStoreError)) throw error;
    if (onRecord === undefined || beyondUse.has(error.code)) return { kind: 'unreadable' };
    throw error;
  }
}

/** `ContextMismatch`: somebody else's envelope under this user's name, which opens for nobody. */
const beyondUse: ReadonlySet<KeyStoreErrorCode> = new Set(['ContextMismatch', 'Unreadable', 'RolledBack']);

function replacing(existing: Existing): { readonly replaces?: number } {
  switch (existing.kind) {
    case 'opened':
      return { replaces: existing.key.version };
    case 'nothing':
      return { replaces: 0 };
    case 'unreadable':
      return {};
  }
}

function keptHeaders(key: OpenedKey, target: ObservedServer, fields: readonly HeaderField[]): readonly KeyHeader[] {
  return key.headers.filter(
    ({ name }) =>
      target.headers.some((declared) => sameHeader(declared.name, name)) &&
      !fields.some((field) => sameHeader(field.name, name)),
  );
}

function endsOf(value: Uint8Array, declaredAtMs: number | undefined): ValueEnds {
  const detectedAtMs = jwtExpiryMs(value);
  return {
    ...(declaredAtMs === undefined ? {} : { declaredAtMs }),
    ...(detectedAtMs === undefined ? {} : { detectedAtMs }),
  };
}

function copyOf(value: Uint8Array): SecretBytes {
  const copy = SecretBytes.alloc(value.byteLength);
  copy.bytes.set(value);
  return copy;
}
