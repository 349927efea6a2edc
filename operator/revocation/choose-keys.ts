import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import type { Subject } from '#contract/lease.ts';
import { subjectKeyChars } from '#operator/keystore/names.ts';

export type Chosen =
  | { readonly kind: 'keys'; readonly userKeys: readonly UserKey[] }
  /** Several users go by that name. Each by the end of their UserKeys' names. */
  | { readonly kind: 'ambiguous'; readonly users: readonly { readonly key: string; readonly subject: Subject }[] };

/** Pure. The keys of the user that somebody names: by id, by name, or by the end of their UserKeys' names, which is never ambiguous. */
export function keysOfUser(userKeys: readonly UserKey[], user: string): Chosen {
  const byKey = userKeys.filter((userKey) => subjectKeyIn(userKey) === user);
  const byId = userKeys.filter(({ spec }) => spec.subject.id === user);
  const byName = userKeys.filter(({ spec }) => spec.subject.name === user);
  const found = [byKey, byId, byName].find((some) => some.length > 0) ?? [];
  const users = new Map(found.map((userKey) => [subjectKeyIn(userKey), userKey.spec.subject]));
  if (users.size <= 1) return { kind: 'keys', userKeys: found };
  return { kind: 'ambiguous', users: [...users].map(([key, subject]) => ({ key, subject })) };
}

/** The API server holds every name to that form. */
function subjectKeyIn({ metadata }: UserKey): string {
  return metadata.name.slice(-subjectKeyChars);
}
