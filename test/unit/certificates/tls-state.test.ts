import { beforeAll, describe, expect, test } from 'vitest';

import { issueAuthority, issueLeaf } from '#operator/certificates/issue.ts';
import { defaultLifetimes as lifetimes } from '#operator/certificates/lifetimes.ts';
import { bundleOf, readTlsState, writeTlsState } from '#operator/certificates/tls-state.ts';
import type { TlsState } from '#operator/certificates/tls-state.ts';

const nowMs = Date.UTC(2026, 5, 1);
let state: TlsState;

beforeAll(async () => {
  const [active, staged, first, second] = await Promise.all([1, 2, 3, 4].map(() => issueAuthority(nowMs, lifetimes)));
  const leaf = await issueLeaf({ authority: active!, dnsNames: ['broker'], nowMs, lifetimes });
  const retired = [first!, second!].map(({ pem, notBeforeMs, notAfterMs }, index) => ({
    pem,
    notBeforeMs,
    notAfterMs,
    untilMs: nowMs + index,
  }));
  state = { active: active!, staged, retired, leaf };
});

describe('the Secret of certificates', () => {
  test('gives back what was written', () => {
    expect(readTlsState(writeTlsState(state))).toEqual({ kind: 'held', state });
  });

  test('holds successor and predecessors only while there are any', () => {
    const data = writeTlsState({ ...state, staged: undefined, retired: [] });
    expect(Object.keys(data).sort()).toEqual(['ca.crt', 'ca.key', 'tls.crt', 'tls.key']);
  });

  test('never holds the key of a predecessor', () => {
    const keys = Object.values(writeTlsState(state)).filter((value) =>
      Buffer.from(value, 'base64').includes('PRIVATE KEY'),
    );
    expect(keys).toHaveLength(3);
  });

  test('is empty as the chart makes it', () => {
    expect(readTlsState(undefined)).toEqual({ kind: 'empty' });
    expect(readTlsState({})).toEqual({ kind: 'empty' });
  });

  test.each<[string, (data: Record<string, string>, other: Record<string, string>) => object]>([
    ['a key is of another certificate', (data, other) => ({ ...data, 'tls.key': other['ca.key'] })],
    [
      'the leaf is of another CA',
      (data, other) => ({ ...data, 'ca.crt': other['next-ca.crt'], 'ca.key': other['next-ca.key'] }),
    ],
    ['the CA is missing', (data) => Object.fromEntries(Object.entries(data).filter(([key]) => key !== 'ca.crt'))],
    ['a certificate is cut short', (data) => ({ ...data, 'tls.crt': data['tls.crt']?.slice(0, 200) })],
    ['a certificate is nonsense', (data) => ({ ...data, 'next-ca.crt': 'aGVsbG8=' })],
  ])('cannot be read when %s, and the reason shows nothing of it', (_what, change) => {
    const data = writeTlsState(state);
    const reading = readTlsState(change({ ...data }, { ...data }) as Record<string, string>);
    expect(reading).toMatchObject({ kind: 'unreadable' });
    expect(JSON.stringify(reading)).not.toMatch(/BEGIN|MI[IG]/);
  });

  test('bundles successor, signer and predecessors', () => {
    const retired = state.retired.map(({ pem }) => pem);
    expect(bundleOf(state)).toBe([state.staged?.pem, state.active.pem, ...retired].join(''));
  });
});
