/** A key that the upstream refuses: compiled sidecar, real broker, real OpenID provider. */
import { beforeAll, expect, test } from 'vitest';

import { github, userKeyOf } from '#test/support/broker-world.ts';

import { startRealBroker } from '../conformance/suite/real-broker.ts';
import { buildOnce, SidecarProcess } from './support/sidecar-process.ts';
import { answerOk, Upstream } from './support/upstream.ts';
import { call, eventually, post } from './support/wire.ts';

beforeAll(buildOnce, 300_000);

test('is told to its user at once, marked in the broker, not sent again, and replaced by the next one', async () => {
  await using real = await startRealBroker();
  const good = new Set<string>();
  await using upstream = await Upstream.recording((request, response, body) => {
    if (good.has(request.headers.authorization ?? '')) answerOk(request, response, body);
    else response.writeHead(401, { 'www-authenticate': 'Bearer realm="upstream"' }).end();
  });
  await using sidecar = await SidecarProcess.start({ broker: real.broker, upstreamPort: upstream.port });
  const token = real.authorization.replace('Bearer ', '');
  const ask = async (): Promise<string> => {
    const response = await post(sidecar.url, call('search'), { token });
    expect(response.status).toBe(200);
    expect(response.headers.get('www-authenticate')).toBeNull();
    return response.text();
  };

  expect(await ask()).toContain('was rejected');
  expect(upstream.received).toHaveLength(1);

  // Ten seconds in which others could be refused too: nobody else is.
  const keyEvents = () => real.world.audit.events.filter(({ type }) => type === 'key.rejected');
  await eventually(() => keyEvents().length > 0, 30_000);
  expect(keyEvents()).toMatchObject([{ subject: { id: 'alice' }, keyVersion: 1, server: github }]);
  await eventually(async () => {
    const before = upstream.received.length;
    const text = await ask();
    return upstream.received.length === before && text.includes('was rejected');
  });

  good.add('Bearer next-key-of-alice');
  real.world.keyStore.set(real.alice, { Authorization: 'next-key-of-alice' }, { version: 2, server: github });
  const userKey = real.world.sources.userKeys.store.get(github.namespace, userKeyOf(real.alice).metadata.name);
  real.world.sources.userKeys.put({ ...userKey!, status: { ...userKey!.status, version: 2 } });
  await eventually(async () => (await ask()).includes('"result":{}'), 2_000);
});
