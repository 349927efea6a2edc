import type { KeyObject } from 'node:crypto';

import { checkKeyValue } from '#cli/contract/key-value.ts';
import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import { KeyStoreError } from '#operator/keystore/errors.ts';
import type { KeyAddress, KeyHeader, KeyStore } from '#operator/keystore/key-store.ts';
import { versionToOpen } from '#operator/keystore/revoked.ts';

import { fingerprintOf, sameFingerprint } from './fingerprint.ts';

/** What has leaked: the value, as somebody found it, or what another search has said of it. */
export type Leaked =
  | { readonly kind: 'value'; readonly value: Uint8Array }
  | { readonly kind: 'fingerprint'; readonly fingerprint: string };

/** Where a value is found it may stand alone, or as it was sent. */
const anyForm = [{ template: '{value}' }, { template: 'Bearer {value}' }];

/** Fingerprints that a leaked value may have as a key of these servers; the one of the bare value first. */
export function fingerprintsOf(key: KeyObject, leaked: Leaked, servers: readonly McpServer[]): readonly string[] {
  if (leaked.kind === 'fingerprint') return [leaked.fingerprint];
  // As a user who pastes it would have it stored: a scheme or quotes that came along are left out.
  const formats = servers.flatMap(({ spec }) =>
    spec.authentication.headers.map(({ name, template, format }) => ({ ...format, name, template })),
  );
  const values = [...anyForm, ...formats].flatMap((format) => {
    const checked = checkKeyValue(leaked.value, format);
    return checked.kind === 'valid' ? [checked.value] : [];
  });
  const bareFirst = values.toSorted((left, right) => left.byteLength - right.byteLength);
  return [...new Set(bareFirst.map((value) => fingerprintOf(key, value)))];
}

export interface Search {
  readonly keyStore: Pick<KeyStore, 'open'>;
  readonly fingerprintKey: KeyObject;
  /** Any of them. */
  readonly fingerprints: readonly string[];
}

/** Whether a stored key holds the value: by which fingerprint, or that nobody can say. Nothing that it holds goes anywhere. */
export async function holdsLeaked(
  { keyStore, fingerprintKey, fingerprints }: Search,
  userKey: UserKey,
  address: KeyAddress,
): Promise<{ readonly kind: 'holds'; readonly fingerprint: string } | { readonly kind: 'differs' | 'unread' }> {
  const versionMin = versionToOpen(userKey);
  if (versionMin === undefined) return { kind: 'differs' };
  try {
    using opened = await keyStore.open(address, versionMin);
    const fingerprint = opened?.headers.map((header) => matchOf(header, fingerprintKey, fingerprints)).find(Boolean);
    return fingerprint === undefined ? { kind: 'differs' } : { kind: 'holds', fingerprint };
  } catch (error) {
    if (!(error instanceof KeyStoreError) || error.code === 'ViewStale') throw error;
    // One that was revoked before, and lies there again, is as good as none.
    return { kind: error.code === 'RolledBack' ? 'differs' : 'unread' };
  }
}

function matchOf({ value }: KeyHeader, key: KeyObject, fingerprints: readonly string[]): string | undefined {
  const own = fingerprintOf(key, value.bytes);
  return fingerprints.find((fingerprint) => sameFingerprint(fingerprint, own));
}
