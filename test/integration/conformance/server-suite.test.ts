/** The official suite's checks of a server: what it finds behind the proxy is what it finds without. */
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verifies } from '#test/requirements.ts';
import { makeTestCertificate } from '#test/support/test-certificates.ts';
import { buildOnce, SidecarProcess } from '../sidecar/support/sidecar-process.ts';
import { everythingV1 } from './servers/v1-everything.ts';
import { everythingV2 } from './servers/v2-everything.ts';
import { type RealBroker, startRealBroker, upstreamAuthorization } from './suite/real-broker.ts';
import { failuresOf, runSuite, type Verdicts } from './suite/run-suite.ts';

const authorization = upstreamAuthorization;
let real: RealBroker;

beforeAll(async () => {
  await buildOnce();
  real = await startRealBroker();
});
afterAll(() => real?.[Symbol.asyncDispose]());

/** `failing`: what the server itself does not do, so that the suite finds it on either way. */
interface Case {
  readonly revision: string;
  readonly scenarios: number;
  readonly failing: RegExp;
}

const ofV1: Case = { revision: '2025-11-25', scenarios: 33, failing: /^json-schema-2020-12/ };
const legacy: Case = { revision: '2025-11-25', scenarios: 33, failing: /^$/ };
const modern: Case = { revision: '2026-07-28', scenarios: 50, failing: /^$/ };

describe(verifies('mcp:33-conformance'), () => {
  test.each([
    { name: 'SDK v1', serve: everythingV1, one: ofV1 },
    { name: 'SDK v2', serve: everythingV2, one: legacy },
    { name: 'SDK v2', serve: everythingV2, one: modern },
  ])('a server of $name is the same at $one.revision behind a sidecar', async ({ serve, one }) => {
    await using server = await listening(serve({ authorization }));
    const { broker } = real;
    await using sidecar = await SidecarProcess.start({ broker, upstreamPort: server.port, flags: hostAndOrigin });
    expect(await compare(one, `localhost:${server.port}/mcp`, `localhost:${sidecar.port}/mcp`)).toBe(one.scenarios);
  });

  test.each([legacy, modern])('a policy that allows every tool changes nothing at $revision', async (one) => {
    real.allowTools('*');
    await using server = await listening(everythingV2({ authorization }));
    const { broker } = real;
    await using sidecar = await SidecarProcess.start({ broker, upstreamPort: server.port, flags: hostAndOrigin });
    const through = `localhost:${sidecar.port}/mcp`;
    expect(await compare(one, `localhost:${server.port}/mcp`, through)).toBe(one.scenarios);
    real.allowTools();
  });

  test.each([legacy, modern])(
    'a server outside the cluster is the same at $revision behind the gateway',
    async (one) => {
      const certificate = await makeTestCertificate(['localhost']);
      // The suite speaks no TLS; the server is the same with and without.
      await using direct = await listening(everythingV2({ authorization }));
      await using server = await listening(everythingV2({ authorization, certificate }));
      const broker = real.gatewayTo({ port: server.port, ca: certificate.ca });
      const serving = ['--mode=gateway'];
      await using gateway = await SidecarProcess.start({ broker, upstreamPort: 0, serving, flags: hostAndOrigin });
      expect(await compare(one, `localhost:${direct.port}/mcp`, `localhost:${gateway.port}${real.outsidePath}`)).toBe(
        one.scenarios,
      );
    },
  );
});

function hostAndOrigin(port: number): readonly string[] {
  return [`--allow-host=localhost`, `--allow-origin=http://localhost:${port}`];
}

/** Resolves how many scenarios found the same. */
async function compare({ revision, failing }: Case, directly: string, through: string): Promise<number> {
  const check = async (which: readonly string[]): Promise<readonly [Verdicts, Verdicts]> => [
    await runSuite({ args: ['server', '--url', `http://${directly}`, ...which], authorization }),
    await runSuite({ args: ['server', '--url', `http://${through}`, ...which], authorization: real.authorization }),
  ];
  const [direct, proxied] = await check(['--requirements', revision]);
  expect(failuresOf(direct).filter((failure) => !failing.test(failure))).toEqual([]);
  for (const scenario of differing(direct, proxied)) {
    // Some checks wait for an event for a time of their own, which a busy machine exceeds: what differs is looked at once more.
    const [again, proxiedAgain] = await check(['--scenario', scenario, '--spec-version', revision]);
    expect(proxiedAgain).toEqual(again);
  }
  return Object.keys(direct).length;
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
