/** Keys that are tried, by the operator as the image runs it: real API server, real HTTPS upstream. */
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import { type ControlPlane, startControlPlane } from '#test/support/control-plane.ts';
import { makeTestCertificate } from '#test/support/test-certificates.ts';

import { applyAll, installPrerequisites, keyNamespace, OperatorProcess } from './installation.ts';
import { brief, find, type Found, namespace, organization } from './objects.ts';
import { order } from './user.ts';

const apiVersion = 'mcpkeyring.io/v1alpha1';
const patience = { timeout: 15_000, interval: 200 };
const ada = { namespace: 'team-a', username: 'ada' };
const goodKey = 'sk-good-never-to-be-seen-0815';
const badKey = 'sk-bad-never-to-be-seen-4711';

let plane: ControlPlane;
let operator: OperatorProcess;
let upstream: Server;
let origin: string;
/** Keys that the upstream takes. */
const taken = new Set([goodKey]);
let hits = 0;

beforeAll(async () => {
  plane = await startControlPlane();
  const { cert, key, ca } = await makeTestCertificate(['localhost']);
  upstream = createServer({ cert, key }, (request, response) => {
    hits += 1;
    const shown = request.headers.authorization?.replace('Bearer ', '') ?? '';
    response.writeHead(taken.has(shown) ? 200 : 401, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ login: 'ada', echo: shown }));
  });
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  origin = `https://localhost:${(upstream.address() as AddressInfo).port}`;
  await installPrerequisites(plane);
  operator = await OperatorProcess.start(plane);
  await operator.said('this replica is the leader');
  const bundle = { name: 'upstream-ca', namespace: 'team-a', labels: { 'mcpkeyring.io/ca-bundle': 'true' } };
  await applyAll(plane, [
    organization('acme'),
    namespace('team-a', { org: 'acme' }),
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: bundle, data: { 'ca.crt': ca } },
    {
      apiVersion,
      kind: 'McpServer',
      metadata: { name: 'github', namespace: 'team-a' },
      spec: {
        title: 'GitHub',
        upstream: { workload: { port: 8080 } },
        authentication: {
          headers: [{ name: 'Authorization', template: 'Bearer {value}', help: 'Make a classic token.' }],
          probeOrigins: [{ origin, allowPrivateAddresses: true, caBundleRef: { name: 'upstream-ca' } }],
        },
      },
    },
    policyWith(`${origin}/user`),
  ]);
  await vi.waitFor(async () => {
    const seen = brief(await find(plane, 'ukp/working', '-n', 'team-a'));
    if (!seen.includes('Ready=True/Bound')) throw new Error(`not reconciled yet: ${seen}`);
  }, patience);
}, 120_000);

afterAll(async () => {
  await operator?.[Symbol.asyncDispose]();
  upstream?.closeAllConnections();
  upstream?.close();
  await plane?.[Symbol.asyncDispose]();
});

function policyWith(url: string): object {
  return {
    apiVersion,
    kind: 'UserKeyPolicy',
    metadata: { name: 'working', namespace: 'team-a' },
    spec: {
      servers: { names: ['github'] },
      validation: {
        onSave: 'Enforce',
        schedule: '24h',
        invalidAfterFailures: 2,
        probe: { http: { url, expect: { path: '$.login', equals: 'ada' } } },
      },
    },
  };
}

async function list(resource: string, inNamespace: string): Promise<readonly Found[]> {
  const output = await plane.kubectl(['get', resource, '-n', inNamespace, '-o', 'json']);
  return (JSON.parse(output) as { items: readonly Found[] }).items;
}

const set = (key: string) => {
  const headers = [{ name: 'Authorization', value: Buffer.from(key) }];
  return order(plane, ada, { control: { v: 1, operation: 'set', server: 'github' }, headers });
};
const tryStored = () => order(plane, ada, { control: { v: 1, operation: 'test', server: 'github' }, headers: [] });
const stateOf = async () => {
  const [found] = await list('uk', 'team-a');
  return `${String(found?.status?.['state'])} ${brief(found)}`;
};

describe('a key that a policy wants to be tried', () => {
  test('is not stored while its upstream refuses it', async () => {
    expect(await set(badKey)).toMatchObject({
      outcome: 'refused',
      code: 'KeyRejected',
      message: 'GitHub refuses the key (401). Nothing was stored. Make a classic token.',
    });
    expect(await list('uk', 'team-a')).toEqual([]);
    const sealed = (await list('secrets', keyNamespace)).filter(
      ({ metadata }) => metadata.labels?.['mcpkeyring.io/server'],
    );
    expect(sealed).toEqual([]);
    expect(hits).toBe(1);
  });

  test('is stored and on record once it is accepted', async () => {
    expect(await set(goodKey)).toMatchObject({
      outcome: 'ok',
      key: { state: 'Configured' },
      check: { verdict: 'Accepted', message: 'GitHub accepts the key.' },
    });
    await expect.poll(stateOf, patience).toBe('Configured Ready=True/Configured');
    const [found] = await list('uk', 'team-a');
    expect(found?.status?.['verification']).toMatchObject({
      verdict: 'Accepted',
      failures: 0,
      version: found?.status?.['version'],
    });
  });

  test('is Invalid after as many failures as the policy takes, and valid again when it is accepted', async () => {
    taken.delete(goodKey);
    expect(await tryStored()).toMatchObject({ outcome: 'ok', tried: 'stored', check: { verdict: 'Rejected' } });
    await expect.poll(stateOf, patience).toBe('Unverified Ready=Unknown/Unverified');
    await tryStored();
    await expect.poll(stateOf, patience).toBe('Invalid Ready=False/ProbeFailed');
    const keysOf = async () => (await find(plane, 'mcps/github', '-n', 'team-a'))?.status?.['keys'];
    await expect.poll(keysOf, patience).toMatchObject({ users: 1, invalid: 1 });
    taken.add(goodKey);
    await tryStored();
    await expect.poll(stateOf, patience).toBe('Configured Ready=True/Configured');
  });

  test('is sent nowhere by a policy that names another place, which says so', async () => {
    const before = hits;
    await applyAll(plane, [policyWith(`${origin.replace('localhost', 'evil.localhost')}/user`)]);
    const policyState = async () => brief(await find(plane, 'ukp/working', '-n', 'team-a'));
    await expect.poll(policyState, patience).toBe('Ready=False/ProbeCannotRun');
    expect(await set(goodKey)).toMatchObject({ code: 'KeyNotChecked' });
    expect(hits).toBe(before);
    await applyAll(plane, [policyWith(`${origin}/user`)]);
    await expect.poll(policyState, patience).toBe('Ready=True/Bound');
  });

  test('is counted by verdict, and seen in no line, metric or object', async () => {
    const { text } = await operator.get('/metrics');
    expect(text).toMatch(/mcpkeyring_key_probes_total\{kind="http",verdict="Rejected",reason="KeyRefused"\} 3/u);
    expect(text).toMatch(/mcpkeyring_key_probes_total\{kind="none",verdict="none",reason="OriginNotAllowed"\} 1/u);
    const types = operator.lines.flatMap((line) => (line['audit'] as { type?: string } | undefined)?.type ?? []);
    expect(types.filter((type) => type === 'key.probed').length).toBeGreaterThanOrEqual(5);
    const objects = await plane.kubectl(['get', 'uk,ukp,mcps,ukr', '-n', 'team-a', '-o', 'json']);
    for (const seen of [JSON.stringify(operator.lines), text, objects]) {
      expect(seen).not.toContain(goodKey);
      expect(seen).not.toContain(badKey);
    }
  });
});
