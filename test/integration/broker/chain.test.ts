import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { auditBatchMax, type RequestEvent } from '#contract/audit.ts';
import type { AuditLog } from '#operator/audit/audit-log.ts';
import { openSqliteAuditLog } from '#operator/audit/sqlite-audit-log.ts';
import { createLineSink } from '#operator/audit/stdout-sink.ts';
import { createBroker, type Broker } from '#operator/broker/broker.ts';
import { createIdentity, type Identity } from '#operator/identity/create-identity.ts';
import { silentAuditObserver } from '#test/support/audit-events.ts';
import { TestBrokerClient } from '#test/support/broker-client.ts';
import {
  alice,
  brokerWorld,
  github,
  podOf,
  subjectKeyOf,
  userKeyOf,
  type BrokerWorld,
} from '#test/support/broker-world.ts';
import { startOidcIssuer, testResource, type TestIssuer } from '#test/support/oidc-issuer.ts';
import { makeTestCertificate } from '#test/support/test-certificates.ts';

/** A broker with a real OpenID provider, real token verification and a real audit log on disk. */
const key = 'ghp_the-key-of-alice';
const podToken = 'pod:team-a/github-0';
const jiraToken = 'pod:team-a/jira-0';
let folder: string;
let idp: TestIssuer;
let world: BrokerWorld;
let identity: Identity;
let audit: AuditLog;
let broker: Broker;
let client: TestBrokerClient;
const lines: string[] = [];
let logBytes = 0;

function refusedRequest(): RequestEvent {
  return {
    id: randomUUID(),
    at: '2026-11-24T10:00:00.000Z',
    type: 'request',
    server: github,
    httpMethod: 'GET',
    decision: 'unauthenticated',
    httpStatus: 401,
    durationMs: 1,
    requestBytes: 0,
    responseBytes: 200,
  };
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'chain-'));
  idp = await startOidcIssuer();
  world = brokerWorld();
  const aliceHere = { issuer: idp.url, id: 'alice', name: 'alice@example.com' };
  world.keyStore.set(aliceHere, { Authorization: key });
  world.sources.userKeys.put(userKeyOf(aliceHere));
  world.sources.pods.put(podOf({ namespace: 'team-a', name: 'jira' }, 'jira-0'));
  const claims = { subject: 'sub', groups: 'groups', name: 'email' };
  const trusted = { type: 'OIDC', name: 'idp', issuerURL: idp.url, audiences: [testResource], claims } as const;
  world.tenancies.set('team-a', { kind: 'organization', name: 'default', issuers: [{ ...trusted, caBundle: idp.ca }] });
  identity = createIdentity({ client: world.reviews, monotonicMs: () => performance.now(), now: () => new Date() });
  audit = await openSqliteAuditLog({
    path: join(folder, 'audit.db'),
    databaseBytesMax: 500_000,
    sink: createLineSink((line) => lines.push(line)),
    observer: { ...silentAuditObserver, sized: (bytes) => (logBytes = bytes) },
    monotonicMs: () => performance.now(),
  });
  const { cert, key: privateKey, ca } = await makeTestCertificate(['localhost']);
  broker = createBroker({
    ...world.options,
    ...identity,
    audit,
    now: () => new Date(),
    monotonicMs: () => performance.now(),
    identity: { cert, key: privateKey },
  });
  client = new TestBrokerClient(await broker.listen(0, '127.0.0.1'), ca);
});

afterAll(async () => {
  client?.[Symbol.dispose]();
  await broker?.close();
  await identity?.close();
  await audit?.close();
  await idp?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

describe('a broker with a real OpenID provider and a real audit log', () => {
  test('gives alice her key through the pod of her server, and records who got what where', async () => {
    const answer = await client.lease(github, await idp.token('alice'), podToken);
    expect(answer).toMatchObject({
      decision: 'granted',
      subject: { issuer: idp.url, id: 'alice' },
      headers: [{ name: 'Authorization', value: `Bearer ${key}` }],
    });
    const [event] = audit.recent(1);
    expect(event).toMatchObject({
      type: 'lease',
      leaseId: (answer as { leaseId: string }).leaseId,
      subject: { id: 'alice' },
      pod: { name: 'github-0' },
    });
    expect(lines.at(-1)).toBe(`${JSON.stringify({ audit: event })}\n`);
  });

  test('gives it to no other pod, although alice shows the same token there', async () => {
    const body = { server: github, credential: await idp.token('alice') };
    const { status, text } = await client.call('/v1/leases', { token: jiraToken, body });
    expect(status).toBe(403);
    expect(text).not.toContain('ghp_');
    expect(audit.recent(1)).toMatchObject([{ type: 'denied', reason: 'PodServesAnotherServer' }]);
  });

  test('gives bob none', async () => {
    expect(await client.lease(github, await idp.token('bob'), podToken)).toMatchObject({ decision: 'missing' });
  });

  test('gives none for a token of alice that is for somebody else', async () => {
    const token = await idp.token('alice', 'urn:somebody-else');
    expect(await client.lease(github, token, podToken)).toMatchObject({
      decision: 'unauthenticated',
      reason: 'AudienceMismatch',
    });
  });

  test('gives none when a pod shows its own token as the user', async () => {
    expect(await client.lease(github, podToken, podToken)).toMatchObject({ decision: 'unauthenticated' });
  });

  test('goes on while the provider is down, with the keys that it has', async () => {
    const token = await idp.token('alice');
    idp.down();
    expect(await client.lease(github, token, podToken)).toMatchObject({ decision: 'granted' });
    idp.up();
  });

  test('serves a user with a token never seen before after a minute of strangers at the same pod', async () => {
    const template = await idp.token('alice');
    const head = template.slice(0, template.lastIndexOf('.'));
    const garbage = (bytes: number): string => randomBytes(bytes).toString('base64url');
    const strangers = Array.from({ length: 4_000 }, (_, i) => (i % 2 === 0 ? garbage(24) : `${head}.${garbage(256)}`));
    const queue = strangers.values();
    const decisions = new Set<string>();
    const flood = async (): Promise<void> => {
      for (const credential of queue) {
        decisions.add(((await client.lease(github, credential, podToken)) as { decision: string }).decision);
      }
    };
    await Promise.all(Array.from({ length: 50 }, flood));
    expect(decisions).toEqual(new Set(['unauthenticated']));
    expect(await client.lease(github, await idp.token('alice'), podToken)).toMatchObject({ decision: 'granted' });
  });

  test('takes a flood of reports about nobody into a few kilobytes', async () => {
    const before = logBytes;
    for (let i = 0; i < 20; i += 1) {
      const events = Array.from({ length: auditBatchMax }, () => refusedRequest());
      const { status, text } = await client.call('/v1/audit', { token: podToken, body: { events } });
      expect([status, JSON.parse(text)]).toEqual([200, { accepted: auditBatchMax }]);
    }
    expect(logBytes - before).toBeLessThan(100_000);
    expect(audit.recent(1_000).filter(({ type }) => type === 'request')).toHaveLength(60);
    expect(audit.recent(1_000)).toContainEqual(
      expect.objectContaining({ type: 'request.refused', count: 20 * auditBatchMax - 60, complete: false }),
    );
  });

  test('gives none from the moment on that the audit log is full', async () => {
    const token = await idp.token('alice');
    const leasesOnRecord = (): number => audit.recent(1_000).filter(({ type }) => type === 'lease').length;
    const before = leasesOnRecord();
    let granted = 0;
    for (;;) {
      const answer = (await client.lease(github, token, podToken)) as { decision: string };
      if (answer.decision !== 'granted') {
        expect(answer).toMatchObject({ decision: 'denied', reason: 'AuditUnavailable' });
        break;
      }
      granted += 1;
    }
    expect(granted).toBeGreaterThan(10);
    expect(await client.lease(github, token, podToken)).toMatchObject({ reason: 'AuditUnavailable' });
    expect(leasesOnRecord()).toBe(before + granted);
  });

  test('goes on with watch streams and revocation while the log is full, and sends sidecars to other replicas', async () => {
    const watch = await client.watch(github, podToken);
    expect(await watch.next()).toMatchObject({ kind: 'snapshot' });
    world.keyStore.changed(alice);
    expect(await watch.nextNews()).toMatchObject({ kind: 'invalidate', subjectKey: subjectKeyOf(alice) });
    watch.close();
    const lease = { server: github, credential: await idp.token('alice') };
    const refused = await client.call('/v1/leases', { token: podToken, body: lease });
    expect(refused.headers).toMatchObject({ connection: 'close' });
    const report = { events: Array.from({ length: auditBatchMax }, () => ({ ...refusedRequest(), subject: alice })) };
    const untaken = await client.call('/v1/audit', { token: podToken, body: report });
    expect(untaken).toMatchObject({ status: 503, headers: { connection: 'close' } });
  });
});
