/** Keys that the operator tries at a server of the cluster: compiled sidecar, real broker, servers of the official SDKs. */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { beforeAll, expect, test } from 'vitest';

import { SecretBytes } from '#operator/envelope/secret-bytes.ts';
import { judgeProbe } from '#operator/validation/verdict.ts';
import { probeByTool } from '#operator/validation/tool-probe.ts';
import { github } from '#test/support/broker-world.ts';
import { verifies } from '#test/requirements.ts';

import { everythingV1 } from '../conformance/servers/v1-everything.ts';
import { everythingV2 } from '../conformance/servers/v2-everything.ts';
import { startRealBroker } from '../conformance/suite/real-broker.ts';
import { buildOnce, SidecarProcess } from './support/sidecar-process.ts';

beforeAll(buildOnce, 300_000);

const goodKey = 'ghp_candidate0123456789';
const servers = [
  { era: 'modern', start: () => everythingV2({ authorization: `Bearer ${goodKey}` }) },
  { era: 'legacy', start: () => everythingV1({ authorization: `Bearer ${goodKey}` }) },
];

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

test(verifies('validation:through-sidecar'), async () => {
  await using real = await startRealBroker();
  for (const { era, start } of servers) {
    const server = start();
    const sidecar = await SidecarProcess.start({ broker: real.broker, upstreamPort: await listening(server) });
    const attempt = async (key: string, tool: string) => {
      using value = SecretBytes.takeFrom(Buffer.from(key));
      const claims = {
        organization: 'default',
        server: github,
        serverUid: 'uid-of-github',
        subject: real.alice,
        keyVersion: 0,
      };
      const credential = real.world.probeCredentials.seal(claims, [{ name: 'Authorization', value }]) ?? '';
      const endpoint = { place: { kind: 'cluster' }, url: new URL(sidecar.url), keys: [], credential } as const;
      const network = { lookup: () => Promise.resolve(['127.0.0.1']), signal: AbortSignal.timeout(10_000) };
      return judgeProbe(await probeByTool(endpoint, { name: tool }, network));
    };
    expect(await attempt(goodKey, 'test_simple_text'), era).toEqual({ verdict: 'Accepted', reason: 'Accepted' });
    expect(await attempt('ghp_wrong9876543210', 'test_simple_text'), era).toEqual({
      verdict: 'Rejected',
      reason: 'KeyRefused',
    });
    expect(await attempt(goodKey, 'test_error_handling'), era).toEqual({ verdict: 'Rejected', reason: 'ToolFailed' });
    await expect(attempt(goodKey, 'none'), era).rejects.toMatchObject({ reason: 'ToolNotListed' });
    await sidecar[Symbol.asyncDispose]();
    server.closeAllConnections();
    server.close();
  }
  // A key that fails its probe says nothing of the key that the user has.
  expect(real.world.audit.events.filter(({ type }) => type === 'key.rejected')).toEqual([]);
  expect(JSON.stringify(real.world.audit.events)).not.toMatch(/ghp_candidate|ghp_wrong/u);
});
