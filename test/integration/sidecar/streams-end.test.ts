/** Attacks with streams that were opened with what does not hold any more. */
import { beforeAll, expect, test } from 'vitest';
import type { LeaseResponse } from '#contract/lease.ts';
import { verifies } from '#test/requirements.ts';
import { BrokerDouble, granted, missing } from './support/broker-double.ts';
import { buildOnce, SidecarProcess } from './support/sidecar-process.ts';
import { Upstream } from './support/upstream.ts';
import { call, eventually, post } from './support/wire.ts';

beforeAll(buildOnce);

/** A server whose streams tick until somebody closes them. */
async function startTicking(): Promise<Upstream> {
  return Upstream.recording((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const ticking = setInterval(() => response.write('data: {"jsonrpc":"2.0","method":"notifications/x"}\n\n'), 50);
    response.on('close', () => clearInterval(ticking));
  });
}

async function openStream(url: string, token: string): Promise<Response> {
  return fetch(url, { headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream' } });
}

/** Milliseconds until it ends, or undefined when it is still open after `msMax`. Throws when it does not end in order. */
async function endOf(response: Response, msMax: number): Promise<number | undefined> {
  const startedMs = performance.now();
  const reader = response.body!.getReader();
  for (;;) {
    if (performance.now() - startedMs > msMax) {
      await reader.cancel();
      return undefined;
    }
    if ((await reader.read()).done) return performance.now() - startedMs;
  }
}

const expired: LeaseResponse = { decision: 'unauthenticated', reason: 'TokenExpired', message: 'It has ended.' };

test(
  verifies('key-release:streams-end'),
  async () => {
    await using broker = await BrokerDouble.start();
    await using upstream = await startTicking();
    await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
    for (const user of ['alice', 'bob', 'carol']) broker.setLease(user, granted(user, `key-of-${user}`));

    // Bob's key is replaced, Carol's is deleted; Alice's long answer goes on.
    const bobs = await openStream(sidecar.url, 'bob');
    const carols = await Promise.all([openStream(sidecar.url, 'carol'), openStream(sidecar.url, 'carol')]);
    const answer = await post(sidecar.url, call('slow'), { token: 'alice' });
    await eventually(() => [...broker.events.values()].filter(({ phase }) => phase === 'open').length === 3);
    const asked = broker.leaseRequests.length;
    broker.setLease('bob', granted('bob', 'new-key-of-bob'));
    broker.setLease('carol', missing('carol'));
    broker.invalidate('subject-bob');
    broker.invalidate('subject-carol');
    const ends = await Promise.all(carols.map((stream) => endOf(stream, 3_000)));
    for (const end of ends) expect(end).toBeLessThan(1_500);
    expect(broker.leaseRequests.length - asked).toBe(2);
    await eventually(() => [...broker.events.values()].filter(({ phase }) => phase === 'close').length === 2);
    expect([...broker.events.values()].filter(({ phase }) => phase === 'close')).toMatchObject([
      { decision: 'keyMissing', httpStatus: 200, subject: { id: 'carol' } },
      { decision: 'keyMissing', httpStatus: 200, subject: { id: 'carol' } },
    ]);
    await eventually(() => upstream.aborted === 2);
    expect(await endOf(bobs, 500)).toBeUndefined();

    // The login of Alice ends: nothing is invalidated.
    broker.setLease('alice', { ...granted('alice', 'k', { ttlMs: 1_000 }), credentialMs: 3_000 } as LeaseResponse);
    broker.invalidate('subject-alice');
    const stream = await openStream(sidecar.url, 'alice');
    broker.setLease('alice', expired);
    expect(await endOf(stream, 10_000)).toBeLessThan(8_000);
    expect(await endOf(answer, 15_000)).toBeLessThan(15_000);
    await eventually(
      () => [...broker.events.values()].filter(({ decision }) => decision === 'unauthenticated').length === 2,
    );
    expect((await openStream(sidecar.url, 'alice')).status).toBe(401);
  },
  60_000,
);
