import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { LeaseResponse } from '#contract/lease.ts';
import { SessionMarks } from '#sidecar/proxy/session-marks.ts';
import { userOf } from '#sidecar/proxy/sessions.ts';
import { verifies } from '#test/requirements.ts';
import { alice, granted, json, missing, policy, rpc, server, world, type WorldOptions } from './world.ts';

const sessionKey = Buffer.alloc(32, 5).toString('base64url');
const bob = { ...granted, subject: { ...alice, id: 'u-2' } };

/** A replica with a memory of its own, in front of a server that lets in whoever shows an id. */
function replica(more: WorldOptions = {}) {
  const who = { lease: granted as LeaseResponse };
  const respond: WorldOptions['respond'] = ({ headers }) =>
    json(200, { jsonrpc: '2.0', id: 1, result: {} }, headers.has('mcp-session-id') ? {} : { 'mcp-session-id': 's-1' });
  const one = world({
    lease: async () => who.lease,
    respond,
    policy: () => ({ ...policy, sessionKey }),
    ...more,
  });
  const begin = async (): Promise<string> => {
    const response = await one.send({ body: rpc('initialize') });
    return response.headers.get('mcp-session-id')!;
  };
  const status = async (id: string, method = 'POST'): Promise<number> =>
    (await one.send({ method, headers: { 'mcp-session-id': id } })).status;
  return { ...one, who, begin, status };
}

describe('the id of a session', () => {
  test(verifies('mcp:08-replicas'), async () => {
    const first = replica();
    const id = await first.begin();
    const other = replica();
    other.who.lease = bob;
    for (const shown of [id, 's-1', `${id.slice(0, -1)}_`, 's-1.0', '']) {
      for (const method of ['POST', 'GET', 'DELETE']) expect(await other.status(shown, method)).toBe(404);
    }
    expect(other.forwarded).toEqual([]);
    other.who.lease = granted;
    expect(await other.status(id)).toBe(200);
    expect(other.forwarded[0]!.headers.get('mcp-session-id')).toBe('s-1');
    expect(other.events.at(-1)!.sessionIdHash).toBe(first.events[0]!.sessionIdHash);
  });

  test("holds at its server only, and says no more than the server's own", async () => {
    const id = await replica().begin();
    expect(id).toMatch(/^s-1\.0[\w-]{22}$/);
    const wiki = { namespace: 'team-a', name: 'wiki' };
    expect(await replica({ server: wiki }).status(id)).toBe(404);
    const otherKey = Buffer.alloc(32, 6).toString('base64url');
    expect(await replica({ policy: () => ({ ...policy, sessionKey: otherKey }) }).status(id)).toBe(404);
  });

  test('that the server repeats stays the one that the client has', async () => {
    const { begin, send } = replica({ respond: () => json(200, {}, { 'mcp-session-id': 's-1' }) });
    const id = await begin();
    const again = await send({ headers: { 'mcp-session-id': id } });
    expect(again.headers.get('mcp-session-id')).toBe(id);
  });

  test('is not taken from whom the server has begun another session of that name for', async () => {
    const one = replica();
    const id = await one.begin();
    one.who.lease = bob;
    await one.begin();
    one.who.lease = granted;
    expect(await one.status(id)).toBe(404);
  });

  test('keeps that the client opens URLs, and nobody changes that', () => {
    const marks = new SessionMarks(sessionKey, server);
    const user = userOf(alice);
    const id = marks.mark({ id: 's.1', elicitsUrl: true }, user);
    expect(marks.read(id, user)).toEqual({ id: 's.1', elicitsUrl: true });
    expect(marks.read(id.replace('.1', '.0'), user)).toBeUndefined();
    expect(marks.read(id.replace(/\.1(?=[\w-]{22}$)/, '.0'), user)).toBeUndefined();
  });

  test('stays with the user who has no key for the moment', async () => {
    const one = replica();
    const id = await one.begin();
    one.who.lease = missing;
    const response = await one.send({ body: rpc('tools/list'), headers: { 'mcp-session-id': id } });
    expect(response.status).toBe(200);
  });

  test('is marked with the HMAC-SHA-256 of its user, as everybody computes it', () => {
    const user = userOf(alice);
    const said = JSON.stringify(['session v1', server.namespace, server.name, user, 's-1', '0']);
    const mac = createHmac('sha256', Buffer.from(sessionKey, 'base64url')).update(said).digest().subarray(0, 16);
    const id = new SessionMarks(sessionKey, server).mark({ id: 's-1', elicitsUrl: false }, user);
    expect(id).toBe(`s-1.0${mac.toString('base64url')}`);
  });
});
