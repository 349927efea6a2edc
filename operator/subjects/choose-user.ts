import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import type { Subject } from '#contract/lease.ts';
import { subjectKeyChars } from '#operator/keystore/names.ts';

/** A user, with the end of the names of their UserKeys. */
export interface NamedUser {
  readonly key: string;
  readonly subject: Subject;
}

export type ChosenUser =
  | ({ readonly kind: 'user' } & NamedUser)
  /** Several issuers have a user of that id. */
  | { readonly kind: 'ambiguous'; readonly users: readonly NamedUser[] }
  /** Nobody; `namesakes` call themselves so. */
  | { readonly kind: 'nobody'; readonly namesakes: readonly NamedUser[] };

/**
 * Pure. Whom somebody means who decides about others: by id, by `issuer/id`, or by the end of their UserKeys' names. What users call
 * themselves they may change, so whoever is called like somebody else would be taken for them.
 */
export function chooseUser(userKeys: readonly UserKey[], text: string): ChosenUser {
  const users = [...new Map(userKeys.map((userKey) => [keyIn(userKey), userKey.spec.subject]))].map(
    ([key, subject]) => ({ key, subject }),
  );
  const found = users.filter(
    ({ key, subject }) => key === text || subject.id === text || `${subject.issuer}/${subject.id}` === text,
  );
  const [user] = found;
  if (user === undefined) return { kind: 'nobody', namesakes: users.filter(({ subject }) => subject.name === text) };
  return found.length === 1 ? { kind: 'user', ...user } : { kind: 'ambiguous', users: found };
}

/** The API server holds every name to that form. */
function keyIn({ metadata }: UserKey): string {
  return metadata.name.slice(-subjectKeyChars);
}
