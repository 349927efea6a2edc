import type { UserKeyStatus } from '#crds/v1alpha1/generated/user-key.ts';

import type { KeyFinding } from './key-finding.ts';

/** As users, administrators and metrics are told. */
export type KeyState = NonNullable<UserKeyStatus['state']>;

/** Decisions of a lease that tell a known user what to do. */
export type Refusal = 'missing' | 'invalid' | 'expired' | 'pendingApproval';

/** Who brings a key into a state. */
export type Cause = 'user' | 'administrator' | 'approver' | 'upstream' | 'operator' | 'time';

/** Of one header. */
export interface HeaderWord {
  readonly state: KeyState;
  readonly reason?: string;
}

interface KeyStateRow {
  readonly state: KeyState;
  /** What is true of the key. */
  readonly meaning: string;
  readonly causes: readonly Cause[];
  /** What a proxy gets that asks for the key; `unreadable`: it is refused, and that goes on record as a denial. */
  readonly lease: 'granted' | Refusal | 'unreadable';
  /** Of headers with a value in such a key. Absent: their own age says. */
  readonly header?: HeaderWord;
  /** Who can do something, and what. */
  readonly cure: string;
}

/** Everything that is known of states is here: the controller, leases, the CLI, counts and the reference all read it. The worst first. */
export const keyStates = {
  revoked: {
    state: 'Revoked',
    meaning: 'Somebody has taken the key away for good. No copy of it is ever opened again.',
    causes: ['user', 'administrator'],
    lease: 'invalid',
    header: { state: 'Revoked', reason: 'KeyRevoked' },
    cure: 'The user sets a new key.',
  },
  pendingApproval: {
    state: 'PendingApproval',
    meaning: 'A policy asks for approval, and nobody has given it, or it was refused or has ended.',
    causes: ['user', 'administrator', 'approver', 'time'],
    lease: 'pendingApproval',
    header: { state: 'PendingApproval', reason: 'ApprovalMissing' },
    cure: 'An approver grants it.',
  },
  notOnRecord: {
    state: 'Missing',
    meaning: 'There is a sealed key that is not on record: it is being set right now, or it is from before a delete.',
    causes: ['user', 'operator'],
    lease: 'missing',
    cure: 'The user sets a key.',
  },
  rolledBack: {
    state: 'Missing',
    meaning: 'The sealed key is older than the one on record; somebody has put it back.',
    causes: ['administrator'],
    lease: 'unreadable',
    header: { state: 'Missing', reason: 'KeyRolledBack' },
    cure: 'The user sets a key.',
  },
  missing: {
    state: 'Missing',
    meaning: 'No key is stored.',
    causes: ['user', 'administrator'],
    lease: 'missing',
    cure: 'The user sets a key.',
  },
  rejected: {
    state: 'Invalid',
    meaning: 'The upstream has refused the key with 401.',
    causes: ['upstream'],
    lease: 'invalid',
    header: { state: 'Invalid', reason: 'KeyRejected' },
    cure: 'The user sets a new key.',
  },
  failing: {
    state: 'Invalid',
    meaning: 'Probes have shown, as often in a row as policies want, that the upstream refuses the key.',
    causes: ['upstream', 'administrator'],
    lease: 'invalid',
    header: { state: 'Invalid', reason: 'ProbeFailed' },
    cure: 'The user sets a new key, or a later probe passes.',
  },
  expired: {
    state: 'Expired',
    meaning: 'The key has reached its end, and policies block it from then on.',
    causes: ['time', 'administrator', 'upstream'],
    lease: 'expired',
    cure: 'The user sets a new key.',
  },
  incomplete: {
    state: 'NeedsUpdate',
    meaning: 'A key is stored, and a header that is required now has no value in it.',
    causes: ['administrator', 'user'],
    lease: 'missing',
    header: { state: 'Configured' },
    cure: 'The user sets what is missing.',
  },
  expiredInUse: {
    state: 'Expired',
    meaning: 'The key has reached its end, and policies only warn.',
    causes: ['time', 'administrator', 'upstream'],
    lease: 'granted',
    cure: 'The user sets a new key.',
  },
  unverified: {
    state: 'Unverified',
    meaning: 'No probe has shown yet that the key works, or one has shown that it does not, which is to be confirmed.',
    causes: ['user', 'administrator', 'upstream'],
    lease: 'granted',
    header: { state: 'Unverified' },
    cure: 'The next probe tells.',
  },
  expiring: {
    state: 'Expiring',
    meaning: 'The key reaches its end before long.',
    causes: ['time', 'administrator', 'upstream'],
    lease: 'granted',
    cure: 'The user sets a new key in time.',
  },
  lacking: {
    state: 'Configured',
    meaning: 'The upstream knows the key, and it lacks rights that a probe needs.',
    causes: ['upstream'],
    lease: 'granted',
    header: { state: 'Configured', reason: 'ScopeMissing' },
    cure: 'The user makes a key with the rights that the message names.',
  },
  configured: {
    state: 'Configured',
    meaning: 'Every required header has a value, and nothing speaks against the key.',
    causes: ['user', 'administrator', 'approver', 'upstream'],
    lease: 'granted',
    header: { state: 'Configured' },
    cure: '',
  },
} as const satisfies Readonly<Record<KeyFinding['kind'], KeyStateRow>>;

const words: Readonly<Record<KeyFinding['kind'], KeyStateRow>> = keyStates;

/** What is said of headers with a value; undefined: what their own age says. */
export function headerWordOf(kind: KeyFinding['kind']): HeaderWord | undefined {
  return words[kind].header;
}
