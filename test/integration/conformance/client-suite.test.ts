/** The official suite's checks of a client: it sees through the sidecar what it sees without. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verifies } from '#test/requirements.ts';
import { buildOnce } from '../sidecar/support/sidecar-process.ts';
import { type RealBroker, startRealBroker } from './suite/real-broker.ts';
import { failuresOf, runSuite, type Verdicts } from './suite/run-suite.ts';

const node = process.execPath;
const client = `${import.meta.dirname}/programs/everything-client.ts`;
const behindSidecar = `${import.meta.dirname}/programs/behind-sidecar.ts`;
let real: RealBroker;

beforeAll(async () => {
  await buildOnce();
  real = await startRealBroker();
});
afterAll(() => real?.[Symbol.asyncDispose]());

/** All but `auth/*`: there the client logs in at the server, and behind a sidecar nobody does. */
const cases = {
  '2025-11-25': [
    'initialize',
    'tools_call',
    'elicitation-sep1034-client-defaults',
    'sse-retry',
    'json-schema-2020-12-preservation',
  ],
  '2026-07-28': [
    'tools_call',
    'request-metadata',
    'sep-2322-client-request-state',
    'http-standard-headers',
    'http-custom-headers',
    'http-invalid-tool-headers',
    'json-schema-ref-no-deref',
    'json-schema-2020-12-preservation',
  ],
};

describe(verifies('mcp:33-conformance'), () => {
  describe.each(Object.entries(cases))('a client at %s is seen as it is', (revision, scenarios) => {
    test.each(scenarios)('%s', async (scenario) => {
      const before = real.requests().length;
      const checks = [`${node} ${client}`, `${node} ${behindSidecar} ${client}`].map((command) =>
        checkClient(command, scenario, revision),
      );
      const [direct = {}, proxied] = await Promise.all(checks);
      expect(Object.keys(direct)).toEqual([scenario]);
      expect(failuresOf(direct)).toEqual([]);
      expect(proxied).toEqual(direct);
      expect(real.requests().length).toBeGreaterThan(before);
    });
  });
});

async function checkClient(command: string, scenario: string, revision: string): Promise<Verdicts> {
  const { broker, authorization } = real;
  const env = { BEHIND_SIDECAR: JSON.stringify({ broker, authorization }), SIDECAR_PREBUILT: '1' };
  return runSuite({ args: ['client', '--command', command, '--scenario', scenario, '--spec-version', revision], env });
}
