import { createHash } from 'node:crypto';

import canonicalize from 'canonicalize';

import { group } from '#crds/v1alpha1/names.ts';
import type { KubeObject } from '#operator/kube/resource.ts';

import type { DesiredObject } from './decision.ts';

/**
 * On every object we apply: hash of what we applied. It notices a field that we no longer want, which comparing with the
 * observed object cannot (the API server's defaults look the same).
 */
export const appliedAnnotation = `${group}/applied`;

/** `desired` with the annotation that `isApplied` looks for. */
export function fingerprinted(desired: DesiredObject): DesiredObject {
  const annotations = { ...desired.metadata.annotations, [appliedAnnotation]: hashOf(desired) };
  return { ...desired, metadata: { ...desired.metadata, annotations } };
}

/** Whether `observed` is what applying `desired` would give: the same wish as last time, and nobody changed the outcome. */
export function isApplied(desired: DesiredObject, observed: KubeObject | undefined): boolean {
  if (observed?.metadata.annotations?.[appliedAnnotation] !== hashOf(desired)) return false;
  return contains(observed, desired);
}

/**
 * Whether two statuses say the same. Absent and `undefined` are one, and so are two orders of a list of conditions or headers:
 * the API server keeps such lists as maps and may give them back in another order.
 */
export function sameStatus(left: object | undefined, right: object | undefined): boolean {
  return canonicalStatus(left) === canonicalStatus(right);
}

function canonicalStatus(status: object | undefined): string {
  const entries = Object.entries(status ?? {}).map(([field, value]: [string, unknown]) => [
    field,
    Array.isArray(value) ? value.map((item: unknown) => canonicalJson(item)).toSorted() : value,
  ]);
  return canonicalJson(Object.fromEntries(entries));
}

function hashOf(desired: DesiredObject): string {
  return createHash('sha256').update(canonicalJson(desired)).digest('hex').slice(0, 32);
}

function canonicalJson(value: unknown): string {
  return canonicalize(JSON.parse(JSON.stringify(value ?? null))) ?? '';
}

/** Replaced as a whole by an apply, and never defaulted: an entry that somebody added is a difference. */
const atomicFields: ReadonlySet<string> = new Set(['selector', 'podSelector']);

/** Every field of `wanted` is in `found` with the same value; lists have the same length and order. */
function contains(found: unknown, wanted: unknown): boolean {
  if (wanted === undefined) return true;
  if (Array.isArray(wanted)) return containsList(found, wanted);
  if (!isRecord(wanted)) return found === wanted;
  if (!isRecord(found)) return false;
  return Object.entries(wanted).every(([key, value]) => {
    if (atomicFields.has(key)) return canonicalJson(found[key]) === canonicalJson(value);
    return contains(found[key], value);
  });
}

function containsList(found: unknown, wanted: readonly unknown[]): boolean {
  if (!Array.isArray(found) || found.length !== wanted.length) return false;
  return wanted.every((item, index) => contains(found[index], item));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
