import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addressKind } from '#sidecar/destinations/address-ranges.ts';

describe('an address', () => {
  test.each([
    '8.8.8.8',
    '1.1.1.1',
    '100.63.255.255',
    '100.128.0.0',
    '172.15.255.255',
    '172.32.0.0',
    '9.255.255.255',
    '11.0.0.0',
  ])('%s is public', (address) => expect(addressKind(address)).toBe('public'));

  test.each([
    '2606:4700:4700::1111',
    '2a00:1450:4001:80b::200e',
    '2001:4860:4860::8888',
    '64:ff9b::808:808',
    '::ffff:8.8.8.8',
  ])('%s is public', (address) => expect(addressKind(address)).toBe('public'));

  test.each([
    '10.0.0.1',
    '10.255.255.255',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '100.64.0.1',
    '100.127.255.255',
    '127.0.0.1',
    '127.255.255.254',
    '169.254.1.1',
    '::1',
    'fc00::1',
    'fdff::1',
    'fe80::1',
    'febf::1',
    '::ffff:10.0.0.1',
    '::ffff:7f00:1',
    '::FFFF:127.0.0.1',
    '64:ff9b::10.0.0.1',
    '64:ff9b::a00:1',
  ])('%s is private', (address) => expect(addressKind(address)).toBe('private'));

  test.each([
    '169.254.169.254',
    '169.254.170.2',
    '100.100.100.200',
    '169.254.0.23',
    'fd20:ce::254',
    '168.63.129.16',
    'fd00:ec2::254',
    '::ffff:169.254.169.254',
    '64:ff9b::169.254.169.254',
    '0.0.0.0',
    '0.1.2.3',
    '192.0.0.192',
    '192.0.2.1',
    '198.18.0.1',
    '203.0.113.9',
    '224.0.0.1',
    '239.1.1.1',
    '240.0.0.1',
    '255.255.255.255',
    '::',
    '::127.0.0.1',
    '::8.8.8.8',
    'ff02::1',
    '100::1',
    '2001::1',
    '2001:db8::1',
    '2002:7f00:1::',
    '3fff::1',
    '64:ff9b:1::1',
    'fec0::1',
    '4000::1',
    '::ffff:0:127.0.0.1',
  ])('%s is none that a key is sent to', (address) => expect(addressKind(address)).toBe('never'));

  test.each(['', 'localhost', '1.2.3', '01.2.3.4', '1.2.3.4.5', '256.1.1.1', '127.1', '0x7f000001', '2130706433'])(
    '%j is no address',
    (text) => expect(addressKind(text)).toBeUndefined(),
  );

  test.each(['fe80::1%eth0', '[::1]', '1::2::3', ':::', '12345::'])('%j is no address', (text) =>
    expect(addressKind(text)).toBeUndefined(),
  );

  test('is judged the same however it is written', () => {
    const byte = fc.integer({ min: 0, max: 255 });
    fc.assert(
      fc.property(fc.tuple(byte, byte, byte, byte), ([a, b, c, d]) => {
        const plain = addressKind(`${a}.${b}.${c}.${d}`);
        const hex = (one: number, two: number): string => ((one << 8) | two).toString(16);
        expect(addressKind(`::ffff:${a}.${b}.${c}.${d}`)).toBe(plain);
        expect(addressKind(`0:0:0:0:0:ffff:${hex(a, b)}:${hex(c, d)}`)).toBe(plain);
        expect(addressKind(`64:ff9b::${hex(a, b)}:${hex(c, d)}`)).toBe(plain);
      }),
    );
  });
});
