import { createSecretKey, randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';

import { systemRandomness } from '#operator/envelope/randomness.ts';
import { probeCredentialMsMax, ProbeCredentials } from '#operator/validation/probe-credential.ts';
import { headers, textOf } from '#test/unit/keystore/fixtures.ts';

const claims = {
  organization: 'acme',
  server: { namespace: 'team-a', name: 'github' },
  serverUid: 'uid-github',
  subject: { issuer: 'https://login.example.com', id: 'alice', name: 'Alice' },
  keyVersion: 7,
};

function credentials(indexKey = createSecretKey(randomBytes(32))) {
  const clock = { now: new Date('2026-11-25T10:00:00.000Z') };
  return { clock, of: new ProbeCredentials({ indexKey, randomness: systemRandomness, now: () => clock.now }) };
}

describe('a probe credential', () => {
  test('is opened by every replica, with what it was made for', () => {
    const indexKey = createSecretKey(randomBytes(32));
    const [one, other] = [credentials(indexKey), credentials(indexKey)];
    const credential = one.of.seal(claims, headers({ Authorization: 'ghp_x', 'X-Other': 'y' })) ?? '';
    expect(credential).toMatch(/^mkp_[A-Za-z0-9_-]+$/u);
    expect(credential).not.toContain('ghp_x');
    using opened = other.of.open(credential);
    expect(opened?.claims).toEqual({ ...claims, endsAtMs: one.clock.now.getTime() + probeCredentialMsMax });
    expect(textOf(opened?.headers)).toEqual({ Authorization: 'ghp_x', 'X-Other': 'y' });
    expect(opened?.probeKey).toMatch(/^probe-[a-z2-7]{26}$/u);
  });

  test('ends after seconds', () => {
    const { of, clock } = credentials();
    const credential = of.seal(claims, headers({ Authorization: 'ghp_x' })) ?? '';
    clock.now = new Date(clock.now.getTime() + probeCredentialMsMax);
    expect(of.open(credential)).toBeUndefined();
  });

  test('is made by nobody else, and not altered', () => {
    const { of } = credentials();
    const credential = of.seal(claims, headers({ Authorization: 'ghp_x' })) ?? '';
    expect(credentials().of.open(credential)).toBeUndefined();
    expect(of.open('mkp_')).toBeUndefined();
    expect(of.open('mkp_aaaa')).toBeUndefined();
    expect(of.open(credential.slice(4))).toBeUndefined();
    expect(of.open(`mkp_${'A'.repeat(20_000)}`)).toBeUndefined();
    const bytes = Buffer.from(credential.slice(4), 'base64url');
    for (let at = 0; at < bytes.byteLength; at += 1) {
      const altered = Buffer.from(bytes);
      altered.writeUInt8(altered.readUInt8(at) ^ 1, at);
      expect(of.open(`mkp_${altered.toString('base64url')}`)).toBeUndefined();
    }
  });

  test('is not made of values that do not fit the head of a request', () => {
    expect(credentials().of.seal(claims, headers({ A: 'a'.repeat(8_000), B: 'b'.repeat(8_000) }))).toBeUndefined();
  });
});
