import { randomBytes } from 'node:crypto';

import { describe, expect, test } from 'vitest';

import { type RequestState, RequestStateSealer } from '#sidecar/ladder/request-state.ts';

const stateKey = randomBytes(32).toString('base64url');
const server = { namespace: 'team-a', name: 'notes' };
const state: RequestState = {
  endsAtMs: 1_795_500_000_000,
  subjectKey: 'abcdefgh23456723',
  digest: 'd'.repeat(43),
  rounds: 2,
  refusedVersion: 7,
  theirs: { requestState: '"opaque"', inputResponses: '{"x":{"action":"accept"}}' },
};

describe('what a client keeps for us', () => {
  test('is read by every proxy of the server, and by nobody else', () => {
    const text = new RequestStateSealer(stateKey, server).seal(state);
    expect(text).toMatch(/^mk1\.[A-Za-z0-9_-]{12}\.[A-Za-z0-9_-]+$/);
    expect(new RequestStateSealer(stateKey, server).open(text)).toEqual(state);
    const others = [
      new RequestStateSealer(randomBytes(32).toString('base64url'), server),
      new RequestStateSealer(stateKey, { ...server, name: 'other' }),
      new RequestStateSealer(stateKey, { ...server, namespace: 'team-b' }),
    ];
    for (const other of others) expect(other.open(text)).toBeUndefined();
  });

  test('shows nothing of the user or the call', () => {
    const text = new RequestStateSealer(stateKey, server).seal(state);
    const bytes = Buffer.from(text.split('.')[2]!, 'base64url').toString('latin1');
    for (const part of [state.subjectKey, state.digest, 'opaque']) expect(bytes).not.toContain(part);
  });

  test('never looks the same twice', () => {
    const sealer = new RequestStateSealer(stateKey, server);
    expect(new Set(Array.from({ length: 100 }, () => sealer.seal(state))).size).toBe(100);
  });

  test('does not open when any of its bits is another', () => {
    const sealer = new RequestStateSealer(stateKey, server);
    const text = sealer.seal({ ...state, theirs: {} });
    const sealed = Buffer.from(text.split('.')[2]!, 'base64url');
    for (let bit = 0; bit < sealed.length * 8; bit += 1) {
      const altered = Buffer.from(sealed);
      altered[bit >> 3]! ^= 1 << (bit & 7);
      expect(sealer.open(`${sealer.marker}.${altered.toString('base64url')}`)).toBeUndefined();
    }
    for (const length of [0, 1, 12, 28, sealed.length - 1]) {
      expect(sealer.open(`${sealer.marker}.${sealed.subarray(0, length).toString('base64url')}`)).toBeUndefined();
    }
  });

  test.each(['', 'mk1.', 'mk1.AAAAAAAAAAAA.AAAA', 'opaque'])('is not %j', (text) => {
    expect(new RequestStateSealer(stateKey, server).isOurs(text)).toBe(false);
  });
});
