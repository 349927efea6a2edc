import { createSecretKey, randomBytes } from 'node:crypto';

import { describe, expect, test } from 'vitest';

import { askParameter, askSecondsMax, createKeyLink, verifyKeyLink } from '#contract/key-link.ts';
import { parseKeyPage } from '#contract/key-page.ts';
import { stateKeyOf } from '#operator/keystore/state-key.ts';
import { keyPageUrlOf } from '#operator/policy/key-page.ts';

const stateKey = randomBytes(32).toString('base64url');
const server = { namespace: 'team-a', name: 'notes' };
const asked = { server, subjectKey: 'abcdefgh23456723' };
const now = new Date('2026-11-24T10:00:00Z');

function tokenOf(url: string): string {
  return new URL(url).searchParams.get(askParameter) ?? '';
}

describe('the page where keys are set', () => {
  test.each([
    'https://keys.example.com/team-a/notes',
    'https://keys.example.com:8443/?server=notes',
    'http://localhost:3000/keys',
    'http://127.0.0.1/keys',
  ])('may be %s', (url) => {
    expect(parseKeyPage({ url, stateKey }, 'page')).toEqual({ url, stateKey });
  });

  test.each([
    'http://keys.example.com/',
    'http://localhost.example.com/',
    'https://user:secret@keys.example.com/',
    'https://keys.example.com/a b',
    'javascript:alert(1)',
    'https://',
    'keys.example.com',
  ])('may not be %s', (url) => {
    expect(() => parseKeyPage({ url, stateKey }, 'page')).toThrow('page.url');
  });

  test('is one for each server', () => {
    expect(keyPageUrlOf('https://keys.example.com/{namespace}/{server}?of={server}', server)).toBe(
      'https://keys.example.com/team-a/notes?of=notes',
    );
  });

  test('has a state key that differs from server to server, and not from replica to replica', () => {
    const index = () => createSecretKey(Buffer.alloc(32, 7));
    const one = stateKeyOf(index(), server, 'uid-1');
    expect(Buffer.from(one, 'base64url')).toHaveLength(32);
    expect(stateKeyOf(index(), server, 'uid-1')).toBe(one);
    const others = [
      stateKeyOf(index(), server, 'uid-2'),
      stateKeyOf(index(), { ...server, namespace: 'team-b' }, 'uid-1'),
      stateKeyOf(index(), { ...server, name: 'other' }, 'uid-1'),
      stateKeyOf(createSecretKey(Buffer.alloc(32, 8)), server, 'uid-1'),
    ];
    expect(new Set([one, ...others]).size).toBe(5);
  });
});

describe('a link to it', () => {
  const page = { url: 'https://keys.example.com/team-a/notes?lang=en', stateKey };

  test('says by its token who was asked about what, to whoever has the key, and nothing to others', () => {
    const link = createKeyLink(page, asked, now);
    expect(link.url).toMatch(/^https:\/\/keys\.example\.com\/team-a\/notes\?lang=en&ask=[A-Za-z0-9_-]{51}$/);
    expect(link.url).not.toContain(asked.subjectKey);
    expect(verifyKeyLink(tokenOf(link.url), { stateKey, asked, now })).toBe(link.nonce);
  });

  test('is another one each time', () => {
    const links = Array.from({ length: 100 }, () => createKeyLink(page, asked, now));
    expect(new Set(links.map(({ nonce }) => nonce)).size).toBe(100);
  });

  test('counts for nobody else, at no other server, with no other key, and not for ever', () => {
    const token = tokenOf(createKeyLink(page, asked, now).url);
    const late = new Date(now.getTime() + (askSecondsMax + 1) * 1_000);
    const wrong = [
      { stateKey, asked: { ...asked, subjectKey: 'abcdefgh23456724' }, now },
      { stateKey, asked: { ...asked, server: { ...server, name: 'other' } }, now },
      { stateKey, asked: { ...asked, server: { ...server, namespace: 'team-b' } }, now },
      { stateKey: randomBytes(32).toString('base64url'), asked, now },
      { stateKey, asked, now: late },
    ];
    for (const one of wrong) expect(verifyKeyLink(token, one)).toBeUndefined();
  });

  test('is not one when it was altered', () => {
    const token = tokenOf(createKeyLink(page, asked, now).url);
    for (const altered of ['', 'x', token.slice(1), `${token}A`, token.replace(/^./, (c) => (c === 'A' ? 'B' : 'A'))]) {
      expect(verifyKeyLink(altered, { stateKey, asked, now })).toBeUndefined();
    }
  });
});
