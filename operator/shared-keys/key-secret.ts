import { annotations } from '#crds/v1alpha1/names.ts';
import { SecretBytes } from '#operator/envelope/secret-bytes.ts';
import type { KeyHeader, OpenedKey } from '#operator/keystore/key-store.ts';
import { parseRawSecret, type RawSecret } from '#operator/keystore/secret-json.ts';

/** A Secret of an organization's namespace that holds a key, as far as anybody may know it. Nothing of a value is in it. */
export type SecretState =
  /** Nobody has looked yet, or the API server does not answer. */
  | { readonly kind: 'unknown' }
  /** More Secrets are referenced than are followed. */
  | { readonly kind: 'tooMany' }
  /** The operator has no right to read it. */
  | { readonly kind: 'forbidden' }
  | { readonly kind: 'notFound' }
  | { readonly kind: 'malformed' }
  | FoundSecret;

export interface FoundSecret {
  readonly kind: 'found';
  readonly version: number;
  /** Servers that whoever wrote it means it for. */
  readonly servers: readonly string[];
  readonly entries: readonly SecretEntry[];
}

export interface SecretEntry {
  readonly name: string;
  /** Whether it can stand in a header. */
  readonly isPrintable: boolean;
}

/** `json` stays the caller's to zero. @throws KeyStoreError `KeyMaterialMalformed` */
export function readKeySecret(json: Buffer): { readonly state: FoundSecret; readonly raw: RawSecret } {
  const raw = parseRawSecret(json);
  const { annotations: found, resourceVersion } = raw.object.metadata;
  const entries = [...raw.data].map(([name, value]) => ({ name, isPrintable: isPrintable(trimmed(value.bytes)) }));
  const servers = (found?.[annotations.forServer] ?? '').split(',').map((name) => name.trim());
  const state: FoundSecret = {
    kind: 'found',
    version: versionOf(resourceVersion),
    servers: servers.filter((name) => name !== ''),
    entries,
  };
  return { state, raw };
}

/** A copy that its owner zeroes, without the line end that editors and shells leave behind. */
export function copyKey(raw: RawSecret, version: number): OpenedKey {
  const headers: readonly KeyHeader[] = [...raw.data].map(([name, value]) => {
    const source = trimmed(value.bytes);
    const copy = SecretBytes.alloc(source.byteLength);
    copy.bytes.set(source);
    return { name, value: copy };
  });
  return { version, headers, [Symbol.dispose]: () => headers.forEach(({ value }) => value[Symbol.dispose]()) };
}

const [lineFeed, carriageReturn] = [0x0a, 0x0d];

/** One line end, and no more: a value of several lines is no key for a header. */
function trimmed(bytes: Buffer): Buffer {
  const withoutFeed = bytes.at(-1) === lineFeed ? bytes.subarray(0, -1) : bytes;
  return withoutFeed.at(-1) === carriageReturn ? withoutFeed.subarray(0, -1) : withoutFeed;
}

function isPrintable(bytes: Buffer): boolean {
  return bytes.byteLength > 0 && bytes.every((byte) => byte >= 0x20 && byte <= 0x7e);
}

/** The number that the API server counts all writes by: a Secret that was replaced never has one that it had before. */
function versionOf(resourceVersion: string | undefined): number {
  const version = Number(resourceVersion);
  return Number.isSafeInteger(version) && version > 0 ? version : 1;
}
