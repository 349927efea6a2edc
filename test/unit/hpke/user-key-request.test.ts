import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { generateHpkeKeyPair, hpkeSeal } from '#cli/contract/hpke.ts';
import type { UserKeyResponse } from '#cli/contract/responses.ts';
import {
  intakeSuite,
  openUserKeyRequest,
  requestLimits,
  sealUserKeyRequest,
  type IntakePublicKey,
  type UserKeyOrder,
} from '#cli/contract/user-key-request.ts';

const operator = generateHpkeKeyPair();
const intake: IntakePublicKey = {
  keyId: 'intake-1',
  publicKey: operator.publicKey.toString('base64'),
  suite: intakeSuite,
};
const place = { namespace: 'team-a', username: 'alice' };
const order: UserKeyOrder = {
  control: { v: 1, operation: 'set', server: 'github', token: 'an.id.token' },
  headers: [{ name: 'Authorization', value: Buffer.from('ghp_example') }],
};
const response: UserKeyResponse = {
  v: 1,
  outcome: 'refused',
  code: 'ServerNotFound',
  message: 'There is no McpServer "githb".',
  suggestions: ['github'],
};

/** Seals any plaintext as the CLI would. */
function sealRaw(plaintext: Uint8Array) {
  const lengthOf = (text: string) => Uint8Array.of(0, text.length);
  const associatedData = Buffer.concat(
    [place.namespace, place.username].flatMap((text) => [lengthOf(text), Buffer.from(text)]),
  );
  const info = Buffer.from('mcp-keyring/user-key-request/v1');
  const sealed = hpkeSeal(operator.publicKey, plaintext, { suite: 'AES-256-GCM', info, associatedData });
  return { enc: sealed.enc.toString('base64'), ciphertext: sealed.ciphertext.toString('base64') };
}

function rawOrder(control: string, list: Uint8Array = Uint8Array.of(1, 0)): Uint8Array {
  const head = Buffer.alloc(5);
  head.writeUInt8(1, 0);
  head.writeUInt32BE(Buffer.byteLength(control), 1);
  return Buffer.concat([head, Buffer.from(control), list]);
}

describe('a sealed request', () => {
  test('opens to the order, and its answer opens for the requester', () => {
    const sealed = sealUserKeyRequest(intake, place, order);
    expect(sealed.keyId).toBe('intake-1');
    using received = openUserKeyRequest(operator, place, sealed);
    expect(received.order).toEqual({ kind: 'order', value: order });
    expect(sealed.openResponse(received.sealResponse(response))).toEqual(response);
  });

  test.each([
    ['another namespace', { ...place, namespace: 'team-b' }],
    ['another user', { ...place, username: 'mallory' }],
    ['the two shifted against each other', { namespace: 'team-aa', username: 'lice' }],
  ])('does not open for %s', (_what, elsewhere) => {
    const sealed = sealUserKeyRequest(intake, place, order);
    expect(() => openUserKeyRequest(operator, elsewhere, sealed)).toThrow(
      expect.objectContaining({ code: 'ERR_REQUEST_UNREADABLE' }),
    );
  });

  test('does not open with another intake key, nor when it is too long to be one', () => {
    const sealed = sealUserKeyRequest(intake, place, order);
    const unreadable = expect.objectContaining({ code: 'ERR_REQUEST_UNREADABLE' }) as Error;
    expect(() => openUserKeyRequest(generateHpkeKeyPair(), place, sealed)).toThrow(unreadable);
    const long = Buffer.alloc(requestLimits.plaintextBytesMax + 17).toString('base64');
    expect(() => openUserKeyRequest(operator, place, { ...sealed, ciphertext: long })).toThrow(unreadable);
    expect(() => openUserKeyRequest(operator, place, { enc: '', ciphertext: '' })).toThrow(unreadable);
  });

  test('fits the custom resource even when it is as long as can be', () => {
    const longest: UserKeyOrder = {
      control: { v: 1, operation: 'set', server: 's'.repeat(63), token: 't'.repeat(16_384) },
      headers: Array.from({ length: 16 }, (_, index) => ({
        name: `X-${'h'.repeat(60)}-${index}`,
        value: Buffer.alloc(8_192, 'v'),
      })),
    };
    const sealed = sealUserKeyRequest(intake, place, longest);
    expect(sealed.ciphertext.length).toBeLessThanOrEqual(262_144);
    using received = openUserKeyRequest(operator, place, sealed);
    expect(received.order.kind).toBe('order');
  });

  test('tells little of the length of a key', () => {
    const lengthWith = (value: string) =>
      sealUserKeyRequest(intake, place, { ...order, headers: [{ name: 'X-A', value: Buffer.from(value) }] }).ciphertext
        .length;
    expect(lengthWith('a')).toBe(lengthWith('a'.repeat(100)));
  });

  test('zeroes the key values when it is disposed', () => {
    const sealed = sealUserKeyRequest(intake, place, order);
    const received = openUserKeyRequest(operator, place, sealed);
    const values = received.order.kind === 'order' ? received.order.value.headers.map(({ value }) => value) : [];
    expect(values).toEqual([Buffer.from('ghp_example')]);
    received[Symbol.dispose]();
    expect(values).toEqual([Buffer.alloc(11)]);
  });

  test('is not made for a suite that the CLI does not know', () => {
    expect(() => sealUserKeyRequest({ ...intake, suite: 'other' }, place, order)).toThrow(
      expect.objectContaining({ code: 'ERR_INTAKE_KEY' }),
    );
  });

  test.each([
    ['no bytes', Buffer.alloc(0)],
    ['another version', Buffer.from([2, ...rawOrder('{"v":1,"operation":"list"}').subarray(1)])],
    ['a control length beyond the end', Buffer.from([1, 0, 0, 255, 255, 0])],
    ['control that is no JSON', rawOrder('{')],
    ['control that is no object', rawOrder('null')],
    ['another control version', rawOrder('{"v":2,"operation":"list"}')],
    ['an unknown operation', rawOrder('{"v":1,"operation":"get","server":"a"}')],
    ['an unknown field', rawOrder('{"v":1,"operation":"list","force":true}')],
    ['a server where none belongs', rawOrder('{"v":1,"operation":"list","server":"a"}')],
    ['no server where one belongs', rawOrder('{"v":1,"operation":"set"}')],
    ['an empty server', rawOrder('{"v":1,"operation":"set","server":""}')],
    ['an empty token', rawOrder('{"v":1,"operation":"list","token":""}')],
    ['no header list', rawOrder('{"v":1,"operation":"list"}', new Uint8Array())],
    ['header values without set', rawOrder('{"v":1,"operation":"list"}', Uint8Array.of(1, 1, 1, 65, 0, 1, 66))],
    [
      'a header twice',
      rawOrder('{"v":1,"operation":"set","server":"a"}', Uint8Array.of(1, 2, 1, 65, 0, 0, 1, 97, 0, 0)),
    ],
    ['bytes after the list', rawOrder('{"v":1,"operation":"list"}', Uint8Array.of(1, 0, 0, 9))],
  ])('that holds %s is malformed, and can be answered', (_what, plaintext) => {
    using received = openUserKeyRequest(operator, place, sealRaw(plaintext));
    expect(received.order).toEqual({ kind: 'malformed' });
    expect(received.sealResponse(response).length).toBeGreaterThan(100);
  });

  test('whatever its plaintext is, opening never fails with an error of another kind', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.tuple(fc.json(), fc.uint8Array()).map(([json, list]) => rawOrder(json, list)),
    );
    fc.assert(
      fc.property(bytes, (plaintext) => {
        using received = openUserKeyRequest(operator, place, sealRaw(plaintext));
        expect(received.order.kind).toBeOneOf(['order', 'malformed']);
      }),
      { numRuns: 200 },
    );
  });
});

describe('an answer', () => {
  test('opens only for the request that it answers', () => {
    const [mine, other] = [sealUserKeyRequest(intake, place, order), sealUserKeyRequest(intake, place, order)];
    using received = openUserKeyRequest(operator, place, mine);
    const sealed = received.sealResponse(response);
    expect(() => other.openResponse(sealed)).toThrow(expect.objectContaining({ code: 'ERR_RESPONSE_UNREADABLE' }));
    expect(() => mine.openResponse('')).toThrow(expect.objectContaining({ code: 'ERR_RESPONSE_UNREADABLE' }));
    const changed = Buffer.from(sealed, 'base64');
    changed[20]! ^= 1;
    expect(() => mine.openResponse(changed.toString('base64'))).toThrow(
      expect.objectContaining({ code: 'ERR_RESPONSE_UNREADABLE' }),
    );
  });

  test('of a newer operator asks for a newer CLI', () => {
    const sealed = sealUserKeyRequest(intake, place, order);
    using received = openUserKeyRequest(operator, place, sealed);
    const newer = received.sealResponse({ ...response, v: 2 } as unknown as UserKeyResponse);
    expect(() => sealed.openResponse(newer)).toThrow('newer kubectl mcpkeys');
  });

  test('has a length that tells little', () => {
    const sealed = sealUserKeyRequest(intake, place, order);
    using received = openUserKeyRequest(operator, place, sealed);
    expect(received.sealResponse(response).length).toBe(received.sealResponse({ ...response, suggestions: [] }).length);
  });
});
