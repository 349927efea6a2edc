import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';

import { base32 } from '#operator/keystore/names.ts';

const fingerprintBytes = 16;

/** Keyed hash of a value, in the form that people copy (`fingerprintForm`). The same for all users of an organization. */
export function fingerprintOf(key: KeyObject, value: Uint8Array): string {
  const digest = createHmac('sha256', key).update(value).digest();
  return `fp-${base32(digest.subarray(0, fingerprintBytes))}`;
}

export function sameFingerprint(left: string, right: string): boolean {
  return left.length === right.length && timingSafeEqual(Buffer.from(left), Buffer.from(right));
}
