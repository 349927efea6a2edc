import type { KeyFormat } from '#cli/contract/key-value.ts';
import type { DeclaredHeader, HeaderState, ServerState } from '#cli/contract/responses.ts';
import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import type { StoredKey } from '#operator/keystore/key-store.ts';
import { withDetected } from '#operator/key-state/detected-end.ts';
import { headerUsedAt } from '#operator/key-state/use-recorder.ts';
import { knownEnds } from '#operator/key-state/header-age.ts';
import { expiresAtOf, type KeyAge, keyAge } from '#operator/key-state/key-age.ts';
import { hasHeader, type KeyFinding, keyFinding, missingHeaders } from '#operator/key-state/key-finding.ts';
import { headerWordOf, keyStates } from '#operator/key-state/key-states.ts';
import { type EffectiveHeader, sameHeader } from '#operator/policy/effective-headers.ts';
import type { EffectivePolicy } from '#operator/policy/effective-policy.ts';
import { type KeyUse, takesOwnKeys } from '#operator/shared-keys/key-use.ts';

/** What a user may know of one server and their key for it. Never a value. */

export interface ServerFacts extends EffectivePolicy {
  readonly server: McpServer;
  readonly use: KeyUse;
  readonly stored: StoredKey | undefined;
  readonly userKey: UserKey | undefined;
  readonly now: Date;
}

export function serverState(facts: ServerFacts): ServerState {
  const kind = findingOf(facts);
  return { ...summary(facts, kind), headers: facts.headers.map((header) => headerState(header, facts, kind)) };
}

/** With what the CLI asks and checks by. */
export function detailedServerState(facts: ServerFacts): ServerState<DeclaredHeader> {
  const kind = findingOf(facts);
  return { ...summary(facts, kind), headers: facts.headers.map((header) => declaredHeader(header, facts, kind)) };
}

/** What is asked of the value of a header. */
export function formatOf(
  server: McpServer,
  { name, template }: EffectiveHeader,
): KeyFormat & { readonly name: string } {
  const declared = server.spec.authentication.headers.find((header) => sameHeader(header.name, name));
  return { ...declared?.format, name, template };
}

function summary(facts: ServerFacts, kind: KeyFinding['kind']): Omit<ServerState, 'headers'> {
  const { server, stored } = facts;
  const age = ageOf(facts);
  const expiresAt = expiresAtOf(age);
  const { title } = server.spec;
  return {
    server: server.metadata.name,
    ...(title !== undefined && { title }),
    state: stateOf(facts, kind),
    ...(stored !== undefined && { version: stored.version, setAt: stored.setAt }),
    ...(expiresAt !== undefined && { expiresAt }),
    ...(stored !== undefined && headerUsedAt(facts.userKey?.status?.usedAt, stored.setAt)),
    ...(age.kind !== 'unbounded' && { expiryReason: age.reason }),
  };
}

function findingOf(facts: ServerFacts): KeyFinding['kind'] {
  const { userKey, stored, now } = facts;
  return keyFinding({ userKey, stored, policy: facts, nowMs: now.getTime() }).kind;
}

function stateOf(facts: ServerFacts, kind: KeyFinding['kind']): ServerState['state'] {
  if (!takesOwnKeys(facts.use)) return 'NotNeeded';
  // The organization's is used until there is one.
  if (facts.use === 'ownOrShared' && facts.userKey === undefined) return 'NotNeeded';
  return kind === 'missing' && missingHeaders(facts.headers, undefined).length === 0
    ? 'NotNeeded'
    : keyStates[kind].state;
}

function ageOf({ stored, userKey, expiry, now }: ServerFacts): KeyAge {
  return stored === undefined
    ? { kind: 'unbounded' }
    : keyAge(withDetected(stored, stored.headerNames, userKey), expiry, now.getTime());
}

function headerState(header: EffectiveHeader, facts: ServerFacts, kind: KeyFinding['kind']): HeaderState {
  const { name, required } = header;
  const { stored } = facts;
  if (stored === undefined || !hasHeader(stored, header)) {
    return { name, required, state: required && kind === 'incomplete' ? 'NeedsUpdate' : 'Missing' };
  }
  const { state } = headerWordOf(kind) ?? keyStates[kind];
  return { name, required, state, ...knownEnds(withDetected(stored, stored.headerNames, facts.userKey), name) };
}

function declaredHeader(header: EffectiveHeader, facts: ServerFacts, kind: KeyFinding['kind']): DeclaredHeader {
  const { title, help, helpURL } = header;
  return {
    ...formatOf(facts.server, header),
    ...headerState(header, facts, kind),
    ...(title !== undefined && { title }),
    ...(help !== undefined && { help }),
    ...(helpURL !== undefined && { helpURL }),
  };
}
