import { expect, test } from 'vitest';
import { peerOf } from '#sidecar/proxy/peer.ts';

test.each([
  ['10.1.2.3', '10.1.2.3'],
  ['::ffff:10.1.2.3', '10.1.2.3'],
  ['::1', '0:0:0:0::/64'],
  [undefined, ''],
  ['2a00:1:2:3:4:5:6:7', '2a00:1:2:3::/64'],
  ['2a00:1::7', '2a00:1:0:0::/64'],
  ['2a00::1:2:3:4:5', '2a00:0:0:1::/64'],
])('whoever has the network of %s is one peer', (address, peer) => {
  expect(peerOf(address)).toBe(peer);
});
