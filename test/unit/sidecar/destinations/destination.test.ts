import { beforeEach, expect, test, vi } from 'vitest';
import { addressesMax, answerMsMax, Destination, type DestinationOptions } from '#sidecar/destinations/destination.ts';

let nowMs = 0;
beforeEach(() => {
  nowMs = 0;
});

function destinationOf(answers: readonly (readonly string[])[], more: Partial<DestinationOptions> = {}) {
  const rest = [...answers];
  const lookup = vi.fn<(hostname: string) => Promise<readonly string[]>>(async () => rest.shift() ?? []);
  const refused = vi.fn<(address: string) => void>();
  const destination = new Destination({
    hostname: 'mcp.example.com',
    allowPrivateAddresses: false,
    lookup,
    nowMs: () => nowMs,
    refused,
    ...more,
  });
  return { destination, lookup, refused };
}

test('gives the public addresses of its host', async () => {
  const { destination, lookup } = destinationOf([['93.184.216.34', '2606:2800:220:1::1']]);
  expect(await destination.addresses()).toEqual(['93.184.216.34', '2606:2800:220:1::1']);
  expect(lookup).toHaveBeenCalledWith('mcp.example.com');
});

test.each([
  '10.0.0.7',
  '127.0.0.1',
  '::1',
  '100.64.9.9',
  'fd00::9',
  'fe80::1',
  '::ffff:192.168.0.1',
  '169.254.169.254',
])('refuses a host that leads to %s, also beside a public address', async (address) => {
  const { destination, refused } = destinationOf([['93.184.216.34', address]]);
  await expect(destination.addresses()).rejects.toMatchObject({ code: 'DestinationRefused' });
  expect(refused).toHaveBeenCalledWith(address);
});

test('takes private addresses where the server says so, and the metadata service never', async () => {
  const allowed = destinationOf([['10.0.0.7']], { allowPrivateAddresses: true });
  expect(await allowed.destination.addresses()).toEqual(['10.0.0.7']);
  const metadata = destinationOf([['169.254.169.254']], { allowPrivateAddresses: true });
  await expect(metadata.destination.addresses()).rejects.toMatchObject({ code: 'DestinationRefused' });
});

test('never mentions an address to the client', async () => {
  const { destination } = destinationOf([['10.20.30.40']]);
  await expect(destination.addresses()).rejects.toThrow(/^(?!.*10\.20\.30\.40)/);
});

test('judges an address that is written as the host without asking anybody', async () => {
  const inside = destinationOf([], { hostname: '[::1]' });
  await expect(inside.destination.addresses()).rejects.toMatchObject({ code: 'DestinationRefused' });
  const outside = destinationOf([], { hostname: '93.184.216.34' });
  expect(await outside.destination.addresses()).toEqual(['93.184.216.34']);
  expect(inside.lookup).not.toHaveBeenCalled();
  expect(outside.lookup).not.toHaveBeenCalled();
});

test('uses an answer for a while, then asks and judges anew: a name that is rebound gains nothing', async () => {
  const { destination, lookup } = destinationOf([['93.184.216.34'], ['127.0.0.1']]);
  await destination.addresses();
  nowMs = answerMsMax - 1;
  expect(await destination.addresses()).toEqual(['93.184.216.34']);
  expect(lookup).toHaveBeenCalledTimes(1);
  nowMs = answerMsMax;
  await expect(destination.addresses()).rejects.toMatchObject({ code: 'DestinationRefused' });
});

test('asks once for all who wait, and again after a failure', async () => {
  const { destination, lookup } = destinationOf([[], ['93.184.216.34']]);
  const both = await Promise.allSettled([destination.addresses(), destination.addresses()]);
  expect(both).toMatchObject([
    { reason: { code: 'UpstreamUnavailable' } },
    { reason: { code: 'UpstreamUnavailable' } },
  ]);
  expect(lookup).toHaveBeenCalledTimes(1);
  expect(await destination.addresses()).toEqual(['93.184.216.34']);
});

test('asks again when none of the addresses answered', async () => {
  const { destination, lookup } = destinationOf([['93.184.216.34'], ['93.184.216.35']]);
  await destination.addresses();
  destination.forget();
  expect(await destination.addresses()).toEqual(['93.184.216.35']);
  expect(lookup).toHaveBeenCalledTimes(2);
});

test('gives few of many addresses, and has judged them all', async () => {
  const many = Array.from({ length: 50 }, (_, index) => `93.184.216.${index}`);
  expect(await destinationOf([many]).destination.addresses()).toHaveLength(addressesMax);
  await expect(destinationOf([[...many, '10.0.0.1']]).destination.addresses()).rejects.toMatchObject({
    code: 'DestinationRefused',
  });
});
