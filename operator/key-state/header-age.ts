import type { HeaderEnds } from '#operator/keystore/value-ends.ts';
import type { ExpiryRules } from '#operator/policy/expiry-rules.ts';

import { type KeyAge, keyAge } from './key-age.ts';

interface StoredEnds {
  readonly version: number;
  readonly ends?: readonly HeaderEnds[];
}

/** Pure. The age of one header of a stored key: what ends other headers ends the key, and is no matter of this one. */
export function headerAge(
  stored: StoredEnds,
  header: string,
  { expiry, now }: { readonly expiry: ExpiryRules | undefined; readonly now: Date },
): KeyAge {
  const ends = (stored.ends ?? []).filter(({ name }) => name === header.toLowerCase());
  return keyAge({ version: stored.version, ends }, expiry, now.getTime());
}

/** Pure. What is known of the end of one value, as RFC 3339. */
export function knownEnds(
  { ends = [] }: Pick<StoredEnds, 'ends'>,
  header: string,
): { readonly declaredExpiresAt?: string; readonly detectedExpiresAt?: string } {
  const { declaredAtMs, detectedAtMs } = ends.find(({ name }) => name === header.toLowerCase()) ?? {};
  return {
    ...(declaredAtMs === undefined ? {} : { declaredExpiresAt: new Date(declaredAtMs).toISOString() }),
    ...(detectedAtMs === undefined ? {} : { detectedExpiresAt: new Date(detectedAtMs).toISOString() }),
  };
}
