import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import type { HeaderHint, Subject } from '#contract/lease.ts';
import { describeSetCommand } from '#contract/set-command.ts';
import { isApproved } from '#operator/key-state/approval.ts';
import { type KeyStanding, keyStanding } from '#operator/key-state/key-standing.ts';
import { keyStates, type Refusal } from '#operator/key-state/key-states.ts';
import { versionToOpen } from '#operator/keystore/revoked.ts';
import { versionOnRecord } from '#operator/keystore/version.ts';
import { type EffectiveHeader, sameHeader } from '#operator/policy/effective-headers.ts';
import type { EffectivePolicy } from '#operator/policy/effective-policy.ts';

import { hintOf } from './policy-snapshot.ts';

/** What may be done with what is stored, before it is opened. */
export type Opening =
  | { readonly kind: 'nothingStored' }
  /** Open it; a version below `versionMin` is a rolled-back one. */
  | { readonly kind: 'open'; readonly versionMin: number; readonly userKey: UserKey }
  | { readonly kind: 'refused'; readonly standing: RefusedKind }
  /** The record is of somebody else. */
  | { readonly kind: 'mismatch' };

/** Findings with which a known user is told what to do. */
export type RefusedKind = {
  [Kind in keyof typeof keyStates]: (typeof keyStates)[Kind]['lease'] extends Refusal ? Kind : never;
}[keyof typeof keyStates];

export interface OpeningFacts {
  readonly userKey: UserKey | undefined;
  readonly server: McpServer;
  readonly subject: Subject;
  readonly policy: EffectivePolicy;
  readonly nowMs: number;
}

/**
 * Pure. Without a UserKey that has a version on record there is no key, even if a sealed Secret is there: nothing would tell one
 * from before a delete. Nothing is opened that could not be used.
 */
export function decideOpening({ userKey, server, subject, policy, nowMs }: OpeningFacts): Opening {
  if (userKey === undefined || userKey.metadata.deletionTimestamp !== undefined) return withoutKey({}, policy, nowMs);
  if (!isOf(userKey, server, subject)) return { kind: 'mismatch' };
  const version = versionOnRecord(userKey);
  const versionMin = versionToOpen(userKey);
  if (version === undefined || versionMin === undefined) return withoutKey(userKey, policy, nowMs);
  const standing = keyStanding({ userKey, policy, key: { version }, nowMs });
  return isShut(standing) ? { kind: 'refused', standing } : { kind: 'open', versionMin, userKey };
}

/** Pure. Whether the user may have the key of their organization: what is wrong with one of their own is no matter of it. */
export function mayShare({ userKey, server, subject, policy, nowMs }: OpeningFacts): boolean {
  const isTheirs = userKey !== undefined && isOf(userKey, server, subject);
  return isApproved(isTheirs ? userKey : {}, policy.approval, nowMs);
}

/** Pure. A record without a key is one of a key that goes or comes, unless all that it says is who may have one. */
export function isWithoutOwnKey(userKey: UserKey | undefined): boolean {
  return userKey === undefined || (userKey.status?.approval !== undefined && versionOnRecord(userKey) === undefined);
}

function isOf({ spec }: UserKey, server: McpServer, subject: Subject): boolean {
  const isTheirs = spec.subject.issuer === subject.issuer && spec.subject.id === subject.id;
  return isTheirs && spec.serverRef.name === server.metadata.name;
}

function withoutKey(userKey: Pick<UserKey, 'status'>, { approval }: EffectivePolicy, nowMs: number): Opening {
  if (isApproved(userKey, approval, nowMs)) return { kind: 'nothingStored' };
  return { kind: 'refused', standing: 'pendingApproval' };
}

export function isRefused(standing: KeyStanding): standing is Extract<KeyStanding, RefusedKind> {
  return keyStates[standing].lease !== 'granted';
}

/** Kinds that the record alone tells. When a key ends is sealed with it, and a newer one may just have been set. */
function isShut(standing: KeyStanding): standing is 'revoked' | 'pendingApproval' | 'rejected' | 'failing' {
  return isRefused(standing) && standing !== 'expired';
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
  kind: RefusedKind,
  asked: { readonly server: McpServer; readonly subject: Subject },
  headers: readonly EffectiveHeader[],
): { readonly hints: readonly HeaderHint[]; readonly message: string } {
  const { name, namespace = '' } = asked.server.metadata;
  const command = describeSetCommand({ name, namespace }, asked.subject);
  return { hints: headers.map(hintOf), message: refusalMessage(kind, command) };
}

function refusalMessage(kind: RefusedKind, command: string): string {
  if (kind === 'pendingApproval') return 'Ask your administrator to approve it.';
  return kind === 'revoked' ? `It was revoked, and is of no use any more. ${command}` : command;
}

/** Pure. A lease ends with the credential that it rests on; one that has just ended still gets the tolerance of a clock. */
export function leaseTtlMs(ttlMsMax: number, expiresAtMs: number | undefined, nowMs: number): number {
  if (expiresAtMs === undefined) return ttlMsMax;
  return Math.max(leaseTtlMsMin, Math.min(ttlMsMax, Math.floor(expiresAtMs - nowMs)));
}

const leaseTtlMsMin = 1_000;
