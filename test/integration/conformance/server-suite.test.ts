/** The official suite's checks of a server: what it finds behind the sidecar is what it finds without. */
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verifies } from '#test/requirements.ts';
import { buildOnce, SidecarProcess } from '../sidecar/support/sidecar-process.ts';
import { everythingV1 } from './servers/v1-everything.ts';
import { everythingV2 } from './servers/v2-everything.ts';
import { type RealBroker, startRealBroker, upstreamAuthorization } from './suite/real-broker.ts';
import { failuresOf, runSuite, type Verdicts } from './suite/run-suite.ts';

let real: RealBroker;

beforeAll(async () => {
  await buildOnce();
  real = await startRealBroker();
});
afterAll(() => real?.[Symbol.asyncDispose]());

/** `failing`: what the server itself does not do, so that the suite finds it on either way. */
const cases = [
  { name: 'SDK v1', serve: everythingV1, revision: '2025-11-25', scenarios: 33, failing: /^json-schema-2020-12/ },
  { name: 'SDK v2', serve: everythingV2, revision: '2025-11-25', scenarios: 33, failing: /^$/ },
  { name: 'SDK v2', serve: everythingV2, revision: '2026-07-28', scenarios: 50, failing: /^tasks-/ },
] as const;

describe(verifies('mcp:33-conformance'), () => {
  test.each(cases)('a server of $name is the same at $revision', async ({ serve, revision, scenarios, failing }) => {
    await using server = await listening(serve({ authorization: upstreamAuthorization }));
    const flags = (port: number): string[] => [`--allow-host=localhost`, `--allow-origin=http://localhost:${port}`];
    await using sidecar = await SidecarProcess.start({ broker: real.broker, upstreamPort: server.port, flags });
    const check = async (which: readonly string[]): Promise<readonly [Verdicts, Verdicts]> => [
      await checkServer(server.port, upstreamAuthorization, which),
      await checkServer(sidecar.port, real.authorization, which),
    ];
    const [direct, proxied] = await check(['--requirements', revision]);
    expect(Object.keys(direct)).toHaveLength(scenarios);
    expect(failuresOf(direct).filter((failure) => !failing.test(failure))).toEqual([]);
    for (const scenario of differing(direct, proxied)) {
      // Some checks wait for an event for a time of their own, which a busy machine exceeds: what differs is looked at once more.
      const [again, andProxied] = await check(['--scenario', scenario, '--spec-version', revision]);
      expect(andProxied).toEqual(again);
    }
  });
});

async function checkServer(port: number, authorization: string, which: readonly string[]): Promise<Verdicts> {
  return runSuite({ args: ['server', '--url', `http://localhost:${port}/mcp`, ...which], authorization });
}

function differing(direct: Verdicts, proxied: Verdicts): string[] {
  const names = new Set([...Object.keys(direct), ...Object.keys(proxied)]);
  return [...names].filter((name) => JSON.stringify(direct[name]) !== JSON.stringify(proxied[name]));
}

async function listening(server: Server): Promise<AsyncDisposable & { readonly port: number }> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
