import { matchWhole } from '#cli/contract/key-pattern.ts';
import type { UserKeyPolicyExpect } from '#crds/v1alpha1/generated/user-key-policy.ts';

/** Values that a path may lead to; what lies beyond is not looked at. */
export const selectedMax = 1_000;

/** Pure. Whether one of the values that the path selects fits; without a comparison it only has to be there. */
export function meets(document: unknown, { path, equals, contains, matches }: UserKeyPolicyExpect): boolean {
  const selected = select(document, path);
  if (equals !== undefined) return selected.some((value) => textOf(value) === equals);
  if (contains !== undefined) return selected.some((value) => textOf(value)?.includes(contains));
  if (matches === undefined) return selected.length > 0;
  return selected.some((value) => {
    const text = textOf(value);
    return text !== undefined && matchWhole(matches, Buffer.from(text)) === 'matches';
  });
}

/** Scalars are compared as they are written in JSON, strings without their quotes. */
function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return value === null || typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined;
}

/** What RFC 9535 selects, of the part of it that the CRD lets through: names, indexes and wildcards. */
function select(document: unknown, path: string): readonly unknown[] {
  if (!whole.test(path)) return [];
  let selected: readonly unknown[] = [document];
  for (const [, name, bracket] of path.matchAll(step)) {
    selected = selected.flatMap((value) => childrenOf(value, name ?? bracket ?? '')).slice(0, selectedMax);
  }
  return selected;
}

/** `.name`, `.*`, `['name']`, `[12]` or `[*]`; of a bracket all that is in it. */
const whole = /^\$(?:\.(?:[A-Za-z_]\w*|\*)|\[(?:'[^']*'|\d+|\*)\])*$/u;
const step = /\.([A-Za-z_]\w*|\*)|\[('[^']*'|\d+|\*)\]/gu;

function childrenOf(value: unknown, text: string): readonly unknown[] {
  if (typeof value !== 'object' || value === null) return [];
  if (text === '*') return Object.values(value).slice(0, selectedMax);
  const isIndex = /^\d/u.test(text);
  if (Array.isArray(value)) return isIndex ? value.slice(Number(text), Number(text) + 1) : [];
  const name = text.replace(/^'|'$/gu, '');
  const member = isIndex ? undefined : Object.entries(value).find(([key]) => key === name);
  return member === undefined ? [] : [member[1]];
}
