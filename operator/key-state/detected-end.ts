import type { UserKey, UserKeyDetected } from '#crds/v1alpha1/generated/user-key.ts';
import { slotTimeMsMax } from '#operator/envelope/slot-times.ts';
import type { HeaderEnds } from '#operator/keystore/value-ends.ts';
import { versionOnRecord } from '#operator/keystore/version.ts';

interface EndingKey {
  readonly version: number;
  readonly ends?: readonly HeaderEnds[];
}

/** Upstreams say it in whole seconds, and clocks differ. */
const sameMs = 60_000;

/** Pure. What to put on record now that an upstream has told when a version ends; undefined: nothing new, or nothing sane. */
export function detectedToRecord(
  userKey: UserKey,
  told: { readonly version: number; readonly endsAtMs: number },
  now: Date,
): UserKeyDetected | undefined {
  const { version, endsAtMs } = told;
  // It still answers to the key, so what is over is no end of it.
  const isSane = endsAtMs > now.getTime() && endsAtMs <= slotTimeMsMax;
  if (!isSane || versionOnRecord(userKey) !== version) return undefined;
  const known = userKey.status?.detected;
  const isKnown = known?.version === version && Math.abs(Date.parse(known.expiresAt) - endsAtMs) < sameMs;
  return isKnown ? undefined : { version, expiresAt: new Date(endsAtMs).toISOString(), at: now.toISOString() };
}

/**
 * Pure. `key` with what its upstream has told of its end. Upstreams speak of the token that they were sent: of several headers that is
 * `Authorization`, and where there is none, nobody knows which, so it is said of all.
 */
export function withDetected<Key extends EndingKey>(
  key: Key,
  names: readonly string[],
  userKey: Pick<UserKey, 'status'> | undefined,
): Pick<Key, 'version'> & { readonly ends: readonly HeaderEnds[] } {
  const { version, ends = [] } = key;
  const detected = userKey?.status?.detected;
  const toldMs = detected?.version === version ? Date.parse(detected.expiresAt) : Number.NaN;
  if (Number.isNaN(toldMs)) return { version, ends };
  const lower = names.map((name) => name.toLowerCase());
  const meant = lower.includes('authorization') ? ['authorization'] : lower;
  const others = ends.filter(({ name }) => !meant.includes(name));
  return { version, ends: [...others, ...meant.map((name) => earlier(ends, name, toldMs))] };
}

/** A value that says its own end, and an upstream that says another: the first counts. */
function earlier(ends: readonly HeaderEnds[], name: string, toldMs: number): HeaderEnds {
  const known = ends.find((one) => one.name === name);
  return { ...known, name, detectedAtMs: Math.min(known?.detectedAtMs ?? Infinity, toldMs) };
}
