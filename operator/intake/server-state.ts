import type { KeyFormat } from '#cli/contract/key-value.ts';
import type { DeclaredHeader, HeaderState, ServerState } from '#cli/contract/responses.ts';
import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import type { StoredKey } from '#operator/keystore/key-store.ts';
import { withDetected } from '#operator/key-state/detected-end.ts';
import { knownEnds } from '#operator/key-state/header-age.ts';
import { expiresAtOf, type KeyAge, keyAge } from '#operator/key-state/key-age.ts';
import { isRejected } from '#operator/keystore/version.ts';
import { type EffectiveHeader, sameHeader } from '#operator/policy/effective-headers.ts';
import type { ExpiryRules } from '#operator/policy/expiry-rules.ts';
import type { ValidationRules } from '#operator/policy/validation-rules.ts';
import { type KeyUse, takesOwnKeys } from '#operator/shared-keys/key-use.ts';
import { probeStanding } from '#operator/validation/standing.ts';

/** What a user may know of one server and their key for it. Never a value. */

export interface ServerFacts {
  readonly server: McpServer;
  readonly headers: readonly EffectiveHeader[];
  readonly use: KeyUse;
  readonly stored: StoredKey | undefined;
  readonly userKey: UserKey | undefined;
  readonly validation: ValidationRules;
  readonly expiry: ExpiryRules | undefined;
  readonly now: Date;
}

export function serverState(facts: ServerFacts): ServerState {
  return { ...summary(facts), headers: facts.headers.map((header) => headerState(header, facts)) };
}

/** With what the CLI asks and checks by. */
export function detailedServerState(facts: ServerFacts): ServerState<DeclaredHeader> {
  return { ...summary(facts), headers: facts.headers.map((header) => declaredHeader(header, facts)) };
}

/** Required headers without a value. */
export function missingHeaders({ headers, stored }: Pick<ServerFacts, 'headers' | 'stored'>): readonly string[] {
  return headers.filter((header) => header.required && !isSet(header, stored)).map(({ name }) => name);
}

/** What is asked of the value of a header. */
export function formatOf(
  server: McpServer,
  { name, template }: EffectiveHeader,
): KeyFormat & { readonly name: string } {
  const declared = server.spec.authentication.headers.find((header) => sameHeader(header.name, name));
  return { ...declared?.format, name, template };
}

function summary(facts: ServerFacts): Omit<ServerState, 'headers'> {
  const { server, stored } = facts;
  const age = ageOf(facts);
  const expiresAt = expiresAtOf(age);
  const { title } = server.spec;
  return {
    server: server.metadata.name,
    ...(title !== undefined && { title }),
    state: stateOf(facts),
    ...(stored !== undefined && { version: stored.version, setAt: stored.setAt }),
    ...(expiresAt !== undefined && { expiresAt }),
    ...(age.kind !== 'unbounded' && { expiryReason: age.reason }),
  };
}

function stateOf(facts: ServerFacts): ServerState['state'] {
  if (!takesOwnKeys(facts.use)) return 'NotNeeded';
  // The organization's is used until there is one.
  if (facts.use === 'ownOrShared' && facts.userKey === undefined) return 'NotNeeded';
  const state = stateOfStored(facts);
  if (state === 'Expired' && isBlocked(ageOf(facts))) return state;
  if (missingHeaders(facts).length > 0) return 'Missing';
  return facts.stored === undefined ? 'NotNeeded' : state;
}

function ageOf({ stored, userKey, expiry, now }: ServerFacts): KeyAge {
  return stored === undefined
    ? { kind: 'unbounded' }
    : keyAge(withDetected(stored, stored.headerNames, userKey), expiry, now.getTime());
}

function isBlocked(age: KeyAge): boolean {
  return age.kind === 'expired' && age.isBlocked;
}

function headerState(header: EffectiveHeader, facts: ServerFacts): HeaderState {
  const { name, required } = header;
  const { stored } = facts;
  if (stored === undefined || !isSet(header, stored)) return { name, required, state: 'Missing' };
  return {
    name,
    required,
    state: stateOfStored(facts),
    ...knownEnds(withDetected(stored, stored.headerNames, facts.userKey), name),
  };
}

function stateOfStored(facts: ServerFacts): HeaderState['state'] {
  const { stored, userKey, validation } = facts;
  if (stored === undefined || userKey === undefined) return 'Configured';
  const standing = probeStanding(userKey, stored.version, validation);
  if (standing === 'failing' || isRejected(userKey, stored.version)) return 'Invalid';
  const age = ageOf(facts).kind;
  if (age === 'expired') return 'Expired';
  if (standing === 'unverified') return 'Unverified';
  return age === 'expiring' ? 'Expiring' : 'Configured';
}

function declaredHeader(header: EffectiveHeader, facts: ServerFacts): DeclaredHeader {
  const { title, help, helpURL } = header;
  return {
    ...formatOf(facts.server, header),
    ...headerState(header, facts),
    ...(title !== undefined && { title }),
    ...(help !== undefined && { help }),
    ...(helpURL !== undefined && { helpURL }),
  };
}

function isSet(header: EffectiveHeader, stored: StoredKey | undefined): boolean {
  return stored?.headerNames.some((name) => sameHeader(name, header.name)) ?? false;
}
