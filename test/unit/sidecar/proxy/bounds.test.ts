import { describe, expect, test } from 'vitest';
import type { PolicySnapshot } from '#contract/watch.ts';
import { type Bounds, boundsInForce } from '#sidecar/proxy/bounds-in-force.ts';
import { verifies } from '#test/requirements.ts';
import { policy, world } from './world.ts';

const most: Bounds = { connectMsMax: 10_000, answerMsMax: undefined, bodyBytesMax: 16_777_216 };
const declared = { connectMsMax: 2_000, answerMsMax: 60_000, bodyBytesMax: 8_000_000 };

describe('bounds', () => {
  test('are those of the policy of the moment', () => {
    let current: PolicySnapshot | undefined;
    const bounds = boundsInForce(() => current, most);
    const plain = { ...most, bodyBytesMax: 4_194_304 };
    expect(bounds()).toEqual(plain);
    current = { ...policy, bounds: declared };
    expect(bounds()).toEqual(declared);
    current = policy;
    expect(bounds()).toEqual(plain);
  });

  test(verifies('bounds:never-more'), () => {
    const little: Bounds = { connectMsMax: 100, answerMsMax: 200, bodyBytesMax: 1_024 };
    expect(boundsInForce(() => ({ ...policy, bounds: declared }), little)()).toEqual(little);
    expect(boundsInForce(() => policy, little)()).toEqual(little);
  });
});

describe('a host or an origin', () => {
  const allow = { hosts: ['notes.example'], origins: ['https://app.example'] };
  const all = { hosts: [], origins: ['https://portal.example'], ownHosts: ['mcp.example'] };

  test.each([
    ['the host of the server', { host: 'notes.example' }, 200],
    ['its port', { host: 'Notes.Example:8080' }, 200],
    ['a name of the proxy itself', { host: 'mcp.example' }, 200],
    ['a name that somebody rebound', { host: 'rebound.example' }, 403],
    ['no host', { host: '' }, 403],
    ['the origin that the server allows', { origin: 'https://app.example' }, 200],
    ['the origin that the proxy allows for all', { origin: 'https://portal.example' }, 200],
    ['another origin', { origin: 'https://evil.example' }, 403],
  ])('is judged by what its server and the proxy allow: %s', async (_what, headers, status) => {
    const { send } = world({ allowed: all, policy: () => ({ ...policy, allow }) });
    expect((await send({ headers: { host: 'notes.example', ...headers } })).status).toBe(status);
  });

  test('is allowed by the proxy as well, where that names hosts', async () => {
    const { send } = world({ allowed: { ...all, hosts: ['mcp.example'] }, policy: () => ({ ...policy, allow }) });
    expect((await send({ headers: { host: 'notes.example' } })).status).toBe(403);
    expect((await send({ headers: { host: 'mcp.example' } })).status).toBe(200);
  });
});
