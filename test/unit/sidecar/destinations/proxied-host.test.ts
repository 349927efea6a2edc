import { expect, test } from 'vitest';
import { checkProxiedHost } from '#sidecar/destinations/proxied-host.ts';

test.each(['mcp.example.com', '93.184.215.14', '[2606:4700::1111]', 'svc.example.com', 'local.example'])(
  '%s may be asked for',
  (host) => {
    expect(() => checkProxiedHost(host, false)).not.toThrow();
  },
);

test.each([
  '10.1.2.3',
  '127.0.0.1',
  '[fd00::1]',
  'localhost',
  'a.localhost',
  'printer.local',
  'vault',
  'a.b.svc',
  'a.b.svc.cluster.local.',
  'db.internal',
])('%s only where private addresses are allowed', (host) => {
  expect(() => checkProxiedHost(host, false)).toThrow(expect.objectContaining({ code: 'DestinationRefused' }));
  expect(() => checkProxiedHost(host, true)).not.toThrow();
});

test.each(['169.254.169.254', '0.0.0.0', '[::]', '[64:ff9b::a9fe:a9fe]'])('%s never', (host) => {
  expect(() => checkProxiedHost(host, true)).toThrow(expect.objectContaining({ code: 'DestinationRefused' }));
});
