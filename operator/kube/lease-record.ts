import type { Lease } from './resources.ts';

/** What a candidate knows of the lease, and since when by its own clock. The times inside the record come from other clocks. */
export interface Observation {
  readonly lease: Lease;
  readonly sinceMs: number;
}

export type LeaseDecision =
  | { readonly kind: 'take'; readonly spec: NonNullable<Lease['spec']> }
  | { readonly kind: 'wait'; readonly holder: string };

export interface Candidate {
  readonly identity: string;
  readonly leaseSeconds: number;
  readonly nowMs: number;
  /** Wall-clock time for people who read the record. */
  readonly nowUnixMs: number;
}

/** Bounds on the duration that somebody else's record may claim. */
const leaseSecondsMax = 3600;

/**
 * The holder is alive as long as the record changes. The resourceVersion tells, not the times inside: a holder whose wall clock was
 * set back must not look dead.
 */
export function observe(previous: Observation | undefined, lease: Lease, nowMs: number): Observation {
  const same = previous?.lease.metadata.resourceVersion === lease.metadata.resourceVersion;
  return { lease, sinceMs: previous !== undefined && same ? previous.sinceMs : nowMs };
}

/** Whether the lease is ours to write. */
export function decideLease(observed: Observation, candidate: Candidate): LeaseDecision {
  const { spec } = observed.lease;
  const holder = spec?.holderIdentity ?? '';
  if (holder !== '' && holder !== candidate.identity && candidate.nowMs < expiresAtMs(observed, candidate)) {
    return { kind: 'wait', holder };
  }
  const renewed = { ...freshSpec(candidate), leaseTransitions: spec?.leaseTransitions ?? 0 };
  if (holder === candidate.identity) return { kind: 'take', spec: { ...renewed, ...acquireTimeOf(spec) } };
  return { kind: 'take', spec: { ...renewed, leaseTransitions: renewed.leaseTransitions + 1 } };
}

/** The record of a candidate that takes the lease now. */
export function freshSpec(candidate: Candidate): NonNullable<Lease['spec']> {
  const now = microTime(candidate.nowUnixMs);
  return {
    holderIdentity: candidate.identity,
    leaseDurationSeconds: candidate.leaseSeconds,
    acquireTime: now,
    renewTime: now,
    leaseTransitions: 0,
  };
}

/** The record of a holder that goes: the next candidate need not wait. */
export function releasedSpec(lease: Lease, nowUnixMs: number): NonNullable<Lease['spec']> {
  return { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: microTime(nowUnixMs) };
}

function expiresAtMs(observed: Observation, candidate: Candidate): number {
  const seconds = observed.lease.spec?.leaseDurationSeconds ?? candidate.leaseSeconds;
  return observed.sinceMs + Math.min(Math.max(seconds, 1), leaseSecondsMax) * 1000;
}

function acquireTimeOf(spec: Lease['spec']): { readonly acquireTime?: string } {
  return spec?.acquireTime === undefined ? {} : { acquireTime: spec.acquireTime };
}

/** `metav1.MicroTime` takes exactly six decimals. */
export function microTime(unixMs: number): string {
  return new Date(unixMs).toISOString().replace('Z', '000Z');
}
