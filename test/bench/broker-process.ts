/**
 * A broker in a process of its own, with one sealed key of alice, for tests that look into its memory and for the bench.
 * Started by `fork` with `--expose-gc`; says `{ port, tokens }` when it listens, answers `collect` after two garbage collections and
 * `usage` with what it has used of the processor. Mode `bench`: users prove themselves by signed tokens, and TokenReviews take a while.
 */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { createAuditObserver } from '#operator/audit/audit-metrics.ts';
import { openSqliteAuditLog } from '#operator/audit/sqlite-audit-log.ts';
import { createBroker } from '#operator/broker/broker.ts';
import { SecretBytes } from '#operator/envelope/secret-bytes.ts';
import type { KeyStore } from '#operator/keystore/key-store.ts';
import type { Subject } from '#contract/lease.ts';
import { OidcVerifier } from '#operator/identity/oidc.ts';
import { TokenReviewer } from '#operator/identity/token-review.ts';
import { createUserIdentifier } from '#operator/identity/user-identifier.ts';
import { alice, brokerWorld, github, podOf } from '#test/support/broker-world.ts';
import { FakeIssuer } from '#test/support/fake-issuer.ts';
import { testStore } from '#test/unit/keystore/fixtures.ts';

const [, , seed = '', certFile = '', keyFile = '', mode = 'honest'] = process.argv;
const reviewDelayMs = 10;
const benchUsers = 200;
const keyBytes = 64;
const noted: string[] = [];

/** The key of a seed, as bytes: 64 lower-case letters. `control`: also as a string that somebody holds on to. */
function keyOf(text: string): SecretBytes {
  const value = SecretBytes.alloc(keyBytes);
  const digest = createHash('sha512').update(text).digest();
  for (let i = 0; i < keyBytes; i += 1) value.bytes[i] = 0x61 + (digest[i]! % 26);
  digest.fill(0);
  return value;
}

/** A store that a careless author wrote: it makes a string of what it opens. */
function careless(store: KeyStore): KeyStore {
  return {
    subjectKeyOf: (subject) => store.subjectKeyOf(subject),
    userKeyNameOf: (address) => store.userKeyNameOf(address),
    find: (address) => store.find(address),
    put: (...args) => store.put(...args),
    destroy: (address) => store.destroy(address),
    onChange: (handler) => store.onChange(handler),
    open: async (address, versionMin) => {
      const key = await store.open(address, versionMin);
      for (const { value } of key?.headers ?? []) noted.push(value.bytes.toString('latin1'));
      return key;
    },
  };
}

const folder = mkdtempSync(join(tmpdir(), 'broker-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
process.on('disconnect', () => process.exit(0));

const world = brokerWorld();
const { store } = await testStore();

async function storeKey(subject: Subject): Promise<void> {
  const address = { organization: 'default', server: github, serverUid: 'uid-of-github', subject };
  using value = keyOf(seed);
  await store.put(address, [{ name: 'Authorization', value }]);
  world.sources.userKeys.put({
    apiVersion: 'mcpkeyring.io/v1alpha1',
    kind: 'UserKey',
    metadata: { namespace: github.namespace, name: store.userKeyNameOf(address) },
    spec: { serverRef: { name: github.name }, subject },
    status: { version: 1 },
  });
}

/** Users with real tokens and real verification; only the network to the issuer is left out. */
async function benchIdentity() {
  const idp = new FakeIssuer(alice.issuer);
  await idp.addKey('k1');
  const oidc = new OidcVerifier({
    now: () => new Date(),
    monotonicMs: () => performance.now(),
    createHttp: () => idp.http,
  });
  const kubernetes = { verify: () => Promise.reject(new Error('not in the bench')) };
  const ids = Array.from({ length: benchUsers }, (_, index) => `user-${index}`);
  for (const id of ids) await storeKey({ issuer: idp.url, id, name: id });
  const reviewer = new TokenReviewer({
    client: {
      review: async (...args) => {
        await new Promise((resolve) => setTimeout(resolve, reviewDelayMs));
        return await world.reviews.review(...args);
      },
    },
    monotonicMs: () => performance.now(),
  });
  const tokens = await Promise.all(ids.map((sub) => idp.sign('k1', { sub })));
  return {
    parts: {
      users: createUserIdentifier({ oidc, kubernetes, now: () => new Date() }),
      reviewer,
      now: () => new Date(),
    },
    tokens,
  };
}

await storeKey(alice);
const bench = mode === 'bench' ? await benchIdentity() : undefined;
if (bench !== undefined) for (let i = 0; i < benchUsers; i += 1) world.sources.pods.put(podOf(github, `github-${i}`));
const audit = await openSqliteAuditLog({
  path: join(folder, 'audit', 'audit.db'),
  sink: () => undefined,
  observer: createAuditObserver(world.registry),
  monotonicMs: () => performance.now(),
});
const broker = createBroker({
  ...world.options,
  keyStore: mode === 'careless' ? careless(store) : store,
  audit,
  monotonicMs: () => performance.now(),
  ...bench?.parts,
  identity: { cert: readFileSync(certFile), key: readFileSync(keyFile) },
});
process.on('message', (message) => {
  if (message !== 'collect') return;
  globalThis.gc?.();
  globalThis.gc?.();
  setTimeout(() => process.send?.({ collected: true, noted: noted.length }), 50);
});
process.on('message', (message) => {
  if (message === 'usage') process.send?.({ cpu: process.cpuUsage(), residentBytes: process.memoryUsage.rss() });
});
process.send?.({ port: await broker.listen(0, '127.0.0.1'), tokens: bench?.tokens ?? [] });
