/**
 * A broker in a process of its own, with one sealed key of alice, for tests that look into its memory and for the bench.
 * Started by `fork` with `--expose-gc`; says `{ port }` when it listens, and answers `collect` after two garbage collections.
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
import { alice, brokerWorld, github, subjectKeyOf } from '#test/support/broker-world.ts';
import { testStore } from '#test/unit/keystore/fixtures.ts';

const [, , seed = '', certFile = '', keyFile = '', mode = 'honest'] = process.argv;
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
const address = { organization: 'default', server: github, serverUid: 'uid-of-github', subject: alice };
{
  using value = keyOf(seed);
  await store.put(address, [{ name: 'Authorization', value }]);
}
world.sources.userKeys.put({
  apiVersion: 'mcpkeyring.io/v1alpha1',
  kind: 'UserKey',
  metadata: { namespace: github.namespace, name: store.userKeyNameOf(address), uid: subjectKeyOf(alice) },
  spec: { serverRef: { name: github.name }, subject: alice },
  status: { version: 1 },
});
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
  identity: { cert: readFileSync(certFile), key: readFileSync(keyFile) },
});
process.on('message', (message) => {
  if (message !== 'collect') return;
  globalThis.gc?.();
  globalThis.gc?.();
  setTimeout(() => process.send?.({ collected: true, noted: noted.length }), 50);
});
process.send?.({ port: await broker.listen(0, '127.0.0.1') });
