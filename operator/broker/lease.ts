import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import type { HeaderHint, Subject } from '#contract/lease.ts';
import { describeSetCommand } from '#contract/set-command.ts';
import type { EffectiveHeader } from '#operator/policy/effective-headers.ts';
import { isRevoked, versionToOpen } from '#operator/keystore/revoked.ts';
import { isRejected, versionOnRecord } from '#operator/keystore/version.ts';
import { sameHeader } from '#operator/policy/effective-headers.ts';

import { hintOf } from './policy-snapshot.ts';

/** Decisions that tell a known user what to do. */
export type Refusal = 'missing' | 'invalid' | 'expired' | 'pendingApproval';

/** What may be done with what is stored, before it is opened. */
export type Opening =
  | { readonly kind: 'nothingStored' }
  /** Open it; a version below `versionMin` is a rolled-back one. */
  | { readonly kind: 'open'; readonly versionMin: number }
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  /** The record is of somebody else. */
  | { readonly kind: 'mismatch' };

type KeyState = NonNullable<NonNullable<UserKey['status']>['state']>;

/**
 * States in which a key stays shut. The others are decided by what the key holds: the record may be a moment behind it.
 */
const refusalByState: Readonly<Record<KeyState, Refusal | undefined>> = {
  Configured: undefined,
  Missing: undefined,
  Expiring: undefined,
  NeedsUpdate: undefined,
  Unverified: undefined,
  // Decided by the version that was opened and the time of now.
  Expired: undefined,
  Invalid: 'invalid',
  PendingApproval: 'pendingApproval',
  Revoked: 'invalid',
};

/**
 * Pure. Without a UserKey that has a version on record there is no key, even if a sealed Secret is there: nothing would tell one
 * from before a delete.
 */
export function decideOpening(userKey: UserKey | undefined, server: McpServer, subject: Subject): Opening {
  if (userKey === undefined || userKey.metadata.deletionTimestamp !== undefined) return { kind: 'nothingStored' };
  const { spec } = userKey;
  const isTheirs = spec.subject.issuer === subject.issuer && spec.subject.id === subject.id;
  if (!isTheirs || spec.serverRef.name !== server.metadata.name) return { kind: 'mismatch' };
  const refusal = refusalOf(userKey, versionOnRecord(userKey) ?? 0);
  if (refusal !== undefined) return { kind: 'refused', refusal };
  const versionMin = versionToOpen(userKey);
  return versionMin === undefined ? { kind: 'nothingStored' } : { kind: 'open', versionMin };
}

/**
 * What was found out about a version counts, or that it was revoked, not the state that follows it: a new key must not wait for that to
 * go away.
 */
function refusalOf(userKey: UserKey, version: number): Refusal | undefined {
  const { state, rejected, revoked, verification } = userKey.status ?? {};
  if (isShut(userKey, version)) return 'invalid';
  if (state === undefined || (state === 'Revoked' && revoked !== undefined)) return undefined;
  if (state !== 'Invalid' || (rejected === undefined && verification === undefined)) return refusalByState[state];
  return verification?.version === version && verification.verdict === 'Rejected' ? 'invalid' : undefined;
}

function isShut(userKey: UserKey, version: number): boolean {
  if (userKey.status?.revoked !== undefined && isRevoked(userKey, version)) return true;
  return userKey.status?.rejected !== undefined && version > 0 && isRejected(userKey, version);
}

/** Which headers go out, or which are still asked of the user. */
export type Release =
  | { readonly kind: 'release'; readonly headers: readonly EffectiveHeader[] }
  | { readonly kind: 'missing'; readonly headers: readonly EffectiveHeader[] };

/** Pure. `stored` are the names of the headers that the user has set. What is stored but no longer declared stays inside. */
export function decideRelease(declared: readonly EffectiveHeader[], stored: readonly string[]): Release {
  const isStored = ({ name }: EffectiveHeader): boolean => stored.some((other) => sameHeader(other, name));
  const missing = declared.filter((header) => header.required && !isStored(header));
  return missing.length > 0
    ? { kind: 'missing', headers: missing }
    : { kind: 'release', headers: declared.filter(isStored) };
}

/**
 * Pure. Which headers it is about, and what their user can do now; the sidecar says before it what is wrong. Nothing of a key is in it.
 */
export function explainRefusal(
  refusal: Refusal,
  asked: { readonly server: McpServer; readonly subject: Subject },
  headers: readonly EffectiveHeader[],
): { readonly hints: readonly HeaderHint[]; readonly message: string } {
  const { name, namespace = '' } = asked.server.metadata;
  const message =
    refusal === 'pendingApproval'
      ? 'Ask your administrator to approve it.'
      : describeSetCommand({ name, namespace }, asked.subject);
  return { hints: headers.map(hintOf), message };
}

/** Pure. A lease ends with the credential that it rests on; one that has just ended still gets the tolerance of a clock. */
export function leaseTtlMs(ttlMsMax: number, expiresAtMs: number | undefined, nowMs: number): number {
  if (expiresAtMs === undefined) return ttlMsMax;
  return Math.max(leaseTtlMsMin, Math.min(ttlMsMax, Math.floor(expiresAtMs - nowMs)));
}

const leaseTtlMsMin = 1_000;
