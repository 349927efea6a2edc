import { dnsNamesOf, jitterOf } from './certified-key.ts';
import type { CertifiedKey } from './certified-key.ts';
import { leafEndMs } from './issue.ts';
import { caRenewFraction, leafJitterFraction, leafLeftFraction } from './lifetimes.ts';
import type { CertificateLifetimes } from './lifetimes.ts';
import type { TlsState, TlsStateReading } from './tls-state.ts';

export interface ObservedCertificates {
  readonly reading: TlsStateReading;
  /** Names that the leaf has to carry. */
  readonly dnsNames: readonly string[];
  /** Since when the staged CA has been read back from every place that clients take their bundle from. */
  readonly stagedPublishedSinceMs: number | undefined;
  readonly lifetimes: CertificateLifetimes;
}

/**
 * The life of a CA: staged (published, does not sign) -> active (signs) -> retired (still published) -> gone. A leaf of a CA is
 * therefore never served before clients trust that CA, nor a CA withdrawn while a leaf of it may be met.
 */
export type CertificateDecision =
  | { readonly kind: 'keep' }
  | { readonly kind: 'initialise'; readonly reason: 'empty' | 'unreadable' | 'expired' }
  | { readonly kind: 'stageCa' }
  | { readonly kind: 'promoteCa'; readonly reason: 'published' | 'overdue' }
  | { readonly kind: 'renewLeaf'; readonly reason: 'due' | 'namesChanged' }
  | { readonly kind: 'retireCa' };

const keep: CertificateDecision = { kind: 'keep' };

/** Pure; one step at a time, the caller asks again after each. */
export function decideCertificates(observed: ObservedCertificates, nowMs: number): CertificateDecision {
  const { reading } = observed;
  if (reading.kind !== 'held') return { kind: 'initialise', reason: reading.kind };
  const { state } = reading;
  return (
    decideAuthority(state, observed, nowMs) ?? decideLeaf(state, observed, nowMs) ?? decideRetired(state, nowMs) ?? keep
  );
}

function decideAuthority(
  state: TlsState,
  observed: ObservedCertificates,
  nowMs: number,
): CertificateDecision | undefined {
  const { lifetimes, stagedPublishedSinceMs } = observed;
  if (state.staged === undefined || nowMs >= state.staged.notAfterMs) {
    if (nowMs >= state.active.notAfterMs) return { kind: 'initialise', reason: 'expired' };
    return nowMs >= caRenewAtMs(state.active, lifetimes) ? { kind: 'stageCa' } : undefined;
  }
  const isSettled = stagedPublishedSinceMs !== undefined && nowMs - stagedPublishedSinceMs >= lifetimes.publishSettleMs;
  if (isSettled) return { kind: 'promoteCa', reason: 'published' };
  // A place that never takes the new bundle must not let every other one run into the end of the old CA.
  return nowMs >= state.active.notAfterMs - lifetimes.leafLifeMs ? { kind: 'promoteCa', reason: 'overdue' } : undefined;
}

function decideLeaf(state: TlsState, observed: ObservedCertificates, nowMs: number): CertificateDecision | undefined {
  const { lifetimes, dnsNames } = observed;
  if (!sameNames(dnsNamesOf(state.leaf), dnsNames)) return { kind: 'renewLeaf', reason: 'namesChanged' };
  if (nowMs < leafRenewAtMs(state.leaf, lifetimes)) return undefined;
  // Near the end of the CA a new leaf would not live longer than the old one.
  const gainedMs = leafEndMs({ authority: state.active, nowMs, lifetimes }) - state.leaf.notAfterMs;
  return gainedMs >= lifetimes.leafLifeMs * leafJitterFraction ? { kind: 'renewLeaf', reason: 'due' } : undefined;
}

function decideRetired(state: TlsState, nowMs: number): CertificateDecision | undefined {
  return state.retired.some((authority) => nowMs >= authority.untilMs) ? { kind: 'retireCa' } : undefined;
}

export function caRenewAtMs(authority: CertifiedKey, lifetimes: CertificateLifetimes): number {
  return authority.notAfterMs - lifetimes.caLifeMs * (1 - caRenewFraction);
}

/** The jitter comes from the certificate, so that deciding twice gives the same answer. */
export function leafRenewAtMs(leaf: CertifiedKey, lifetimes: CertificateLifetimes): number {
  const leftMs = lifetimes.leafLifeMs * (leafLeftFraction + leafJitterFraction * jitterOf(leaf));
  return leaf.notAfterMs - leftMs;
}

function sameNames(found: readonly string[], wanted: readonly string[]): boolean {
  const sorted = [...new Set(wanted)].sort();
  return found.length === sorted.length && found.every((name, index) => name === sorted[index]);
}
