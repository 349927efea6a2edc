import { beforeAll, describe, expect, test } from 'vitest';

import { caRenewAtMs, decideCertificates, leafRenewAtMs } from '#operator/certificates/decide.ts';
import type { CertificateDecision, ObservedCertificates } from '#operator/certificates/decide.ts';
import { issueAuthority, issueLeaf } from '#operator/certificates/issue.ts';
import { defaultLifetimes as lifetimes } from '#operator/certificates/lifetimes.ts';
import type { TlsState } from '#operator/certificates/tls-state.ts';

const dayMs = 86_400_000;
const startMs = Date.UTC(2026, 0, 1);
const dnsNames = ['broker', 'webhook'];
let state: TlsState;
let staged: TlsState;

beforeAll(async () => {
  const active = await issueAuthority(startMs, lifetimes);
  const leaf = await issueLeaf({ authority: active, dnsNames, nowMs: startMs, lifetimes });
  state = { active, staged: undefined, retired: [], leaf };
  const lateLeaf = await issueLeaf({ authority: active, dnsNames, nowMs: startMs + 244 * dayMs, lifetimes });
  staged = { ...state, leaf: lateLeaf, staged: await issueAuthority(startMs + 244 * dayMs, lifetimes) };
});

function decide(held: TlsState, nowMs: number, changes: Partial<ObservedCertificates> = {}): CertificateDecision {
  const reading = { kind: 'held', state: held } as const;
  return decideCertificates({ reading, dnsNames, lifetimes, stagedPublishedSinceMs: undefined, ...changes }, nowMs);
}

describe('decideCertificates', () => {
  test('makes everything when there is nothing', () => {
    expect(decide(state, startMs, { reading: { kind: 'empty' } })).toEqual({ kind: 'initialise', reason: 'empty' });
  });

  test('makes everything anew when nothing can be read', () => {
    const reading = { kind: 'unreadable', problem: 'x' } as const;
    expect(decide(state, startMs, { reading })).toEqual({ kind: 'initialise', reason: 'unreadable' });
  });

  test('keeps what is fresh', () => {
    expect(decide(state, startMs)).toEqual({ kind: 'keep' });
    expect(decide(state, startMs + 4 * dayMs)).toEqual({ kind: 'keep' });
  });

  test('renews the leaf when a third of its life is left, a little earlier by jitter', () => {
    const renewAtMs = leafRenewAtMs(state.leaf, lifetimes);
    expect(renewAtMs).toBeLessThanOrEqual(startMs + (7 * dayMs * 2) / 3);
    expect(renewAtMs).toBeGreaterThan(startMs + 7 * dayMs * (2 / 3 - 1 / 20) - 1);
    expect(decide(state, renewAtMs - 1)).toEqual({ kind: 'keep' });
    expect(decide(state, renewAtMs)).toEqual({ kind: 'renewLeaf', reason: 'due' });
  });

  test('renews a leaf that has ended already', () => {
    expect(decide(state, startMs + 30 * dayMs)).toEqual({ kind: 'renewLeaf', reason: 'due' });
  });

  test('renews the leaf when it lacks a name, and when it has one too many', () => {
    const renewed = { kind: 'renewLeaf', reason: 'namesChanged' };
    expect(decide(state, startMs, { dnsNames: [...dnsNames, 'third'] })).toEqual(renewed);
    expect(decide(state, startMs, { dnsNames: ['broker'] })).toEqual(renewed);
    expect(decide(state, startMs, { dnsNames: ['webhook', 'broker', 'broker'] })).toEqual({ kind: 'keep' });
  });

  test('stages a successor at two thirds of the life of the CA', () => {
    const renewAtMs = caRenewAtMs(state.active, lifetimes);
    expect(renewAtMs).toBeCloseTo(startMs + (365 * dayMs * 2) / 3, -1);
    expect(decide(state, renewAtMs - 1)).toMatchObject({ kind: 'renewLeaf' });
    expect(decide(state, renewAtMs)).toEqual({ kind: 'stageCa' });
  });

  test('does not sign with the successor before it was read back from everywhere', () => {
    expect(decide(staged, startMs + 244 * dayMs)).toEqual({ kind: 'keep' });
  });

  test('signs with the successor once it has been published for a while', () => {
    const nowMs = startMs + 244 * dayMs;
    const settledMs = lifetimes.publishSettleMs;
    expect(decide(staged, nowMs + settledMs - 1, { stagedPublishedSinceMs: nowMs })).toEqual({ kind: 'keep' });
    expect(decide(staged, nowMs + settledMs, { stagedPublishedSinceMs: nowMs })).toEqual({
      kind: 'promoteCa',
      reason: 'published',
    });
  });

  test('goes on renewing leaves of the old CA while the successor waits', () => {
    expect(decide(staged, startMs + 250 * dayMs)).toEqual({ kind: 'renewLeaf', reason: 'due' });
  });

  test('does not let one place that never takes the bundle end the whole installation', () => {
    const lastMs = state.active.notAfterMs - lifetimes.leafLifeMs;
    expect(decide(staged, lastMs)).toEqual({ kind: 'promoteCa', reason: 'overdue' });
    expect(decide(staged, lastMs - 1)).toMatchObject({ kind: 'renewLeaf' });
    expect(decide(staged, state.active.notAfterMs + 1)).toEqual({ kind: 'promoteCa', reason: 'overdue' });
  });

  test('begins anew when the CA has ended and there is no successor', () => {
    expect(decide(state, state.active.notAfterMs)).toEqual({ kind: 'initialise', reason: 'expired' });
  });

  test('drops a predecessor when its time is over', () => {
    const { pem, notBeforeMs, notAfterMs } = state.active;
    const withRetired = { ...state, retired: [{ pem, notBeforeMs, notAfterMs, untilMs: startMs + dayMs }] };
    expect(decide(withRetired, startMs + dayMs - 1)).toEqual({ kind: 'keep' });
    expect(decide(withRetired, startMs + dayMs)).toEqual({ kind: 'retireCa' });
  });

  test('does not renew a leaf over and over when the CA ends before it would', async () => {
    const nowMs = state.active.notAfterMs - dayMs;
    const leaf = await issueLeaf({ authority: state.active, dnsNames, nowMs, lifetimes });
    expect(leaf.notAfterMs).toBe(state.active.notAfterMs);
    expect(decide({ ...state, leaf }, nowMs + 1)).toEqual({ kind: 'stageCa' });
    const successor = await issueAuthority(nowMs - 300 * dayMs, { ...lifetimes, caLifeMs: 400 * dayMs });
    expect(decide({ active: state.active, staged: successor, retired: [], leaf }, nowMs)).toMatchObject({
      kind: 'promoteCa',
    });
  });
});
