import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { SecretBytes } from '#operator/envelope/secret-bytes.ts';
import type { KeyAddress } from '#operator/keystore/key-store.ts';
import { secrets } from '#operator/kube/resources.ts';
import { findAllInMemory } from '#test/support/process-memory.ts';
import { startControlPlane, type ControlPlane } from '#test/support/control-plane.ts';

import { installKeyPlaces, keyNamespace, operatorNamespace, Replica } from './cluster.ts';

let plane: ControlPlane;
let replicas: readonly [Replica, Replica];
let users = 0;

beforeAll(async () => {
  plane = await startControlPlane();
  await installKeyPlaces(plane);
  replicas = await Promise.all([Replica.start(plane), Replica.start(plane)]);
});

afterAll(async () => {
  await Promise.all((replicas ?? []).map((replica) => replica[Symbol.asyncDispose]()));
  await plane?.[Symbol.asyncDispose]();
});

function newAddress(): KeyAddress {
  users += 1;
  const subject = { issuer: 'https://idp.example.com', id: `user-${users}`, name: `User ${users}` };
  return { organization: 'default', server: { namespace: 'team-a', name: 'github' }, serverUid: 'server-uid', subject };
}

const headers = (value: string) => [{ name: 'Authorization', value: SecretBytes.takeFrom(Buffer.from(value)) }];

async function openedText(replica: Replica, address: KeyAddress, versionMin = 0): Promise<string | undefined> {
  using opened = await replica.store.open(address, versionMin);
  return opened?.headers.map(({ name, value }) => `${name}: ${value.bytes.toString()}`).join('\n');
}

/** As a backup holds it. */
function withoutVersion(object: { readonly metadata: object }): object {
  const metadata = { ...object.metadata, uid: undefined, resourceVersion: undefined, managedFields: undefined };
  return { ...object, metadata };
}

function secretOf(replica: Replica, address: KeyAddress): Promise<string> {
  const label = `mcpkeyring.io/user=${replica.store.subjectKeyOf(address.subject)}`;
  return plane.kubectl(['get', 'secret', '-n', keyNamespace, '-l', label, '-o', 'json']);
}

describe('on a real API server', () => {
  test('replicas that start together agree on KEK and index key', async () => {
    const [one, two] = replicas;
    expect(one.keks.kids).toEqual(two.keks.kids);
    expect(one.keks.kids).toEqual([one.keks.currentKid]);
    const { subject } = newAddress();
    expect(one.store.subjectKeyOf(subject)).toBe(two.store.subjectKeyOf(subject));
  });

  test('a key that one replica stores opens at the other, and is gone there when it is destroyed', async () => {
    const [one, two] = replicas;
    const address = newAddress();
    const { version } = await one.store.put(address, headers('ghp_one'));
    await expect.poll(() => two.store.find(address)?.version).toBe(version);
    expect(await openedText(two, address, version)).toBe('Authorization: ghp_one');
    expect(await two.store.destroy(address)).toBe(true);
    await expect.poll(() => one.store.find(address)).toBeUndefined();
    expect(await secretOf(one, address)).toContain('"items": []');
  });

  test('a key on record opens before the cache has heard of it', async () => {
    const [one, two] = replicas;
    const address = newAddress();
    const { version } = await one.store.put(address, headers('ghp_fresh'));
    expect(await openedText(two, address, version)).toBe('Authorization: ghp_fresh');
  });

  test('of writers at the same time each wins or gives way, and versions only rise', async () => {
    const address = newAddress();
    const write = async ({ store }: Replica, value: string) => {
      using existing = await store.open(address, 0);
      return await store.put(address, headers(value), { replaces: existing?.version ?? 0 });
    };
    const results = await Promise.allSettled(
      Array.from({ length: 8 }, (_, index) => write(replicas[index % 2]!, `ghp_${index}`)),
    );
    const versions = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value.version] : []));
    const codes = results.flatMap((result) =>
      result.status === 'rejected' ? [(result.reason as { code: string }).code] : [],
    );
    expect(versions.length).toBeGreaterThan(0);
    expect(new Set(versions).size).toBe(versions.length);
    expect(new Set(codes)).toEqual(codes.length === 0 ? new Set() : new Set(['WriteConflict']));
    await expect.poll(() => replicas[0].store.find(address)?.version).toBe(Math.max(...versions));
  });

  test('a Secret put back from a backup does not open any more', async () => {
    const [one] = replicas;
    const address = newAddress();
    const old = await one.store.put(address, headers('ghp_old'));
    const { items } = JSON.parse(await secretOf(one, address)) as { items: { metadata: object }[] };
    const { version } = await one.store.put(address, headers('ghp_new'), { replaces: old.version });
    await plane.kubectl(['replace', '-f', '-'], JSON.stringify(withoutVersion(items[0]!)));
    await expect.poll(() => one.store.find(address)?.version).toBe(old.version);
    await expect(one.store.open(address, version)).rejects.toMatchObject({ code: 'RolledBack' });
  });

  test('a Secret from before a delete does not open under the record of the key that was set since', async () => {
    const [one] = replicas;
    const address = newAddress();
    let { version } = await one.store.put(address, headers('ghp_leaked'), { replaces: 0 });
    for (let changes = 0; changes < 10; changes += 1) {
      ({ version } = await one.store.put(address, headers('ghp_leaked'), { replaces: version }));
    }
    const { items } = JSON.parse(await secretOf(one, address)) as { items: { metadata: object }[] };
    await one.store.destroy(address);
    const fresh = await one.store.put(address, headers('ghp_fresh'), { replaces: 0 });
    expect(fresh.version).toBeGreaterThan(version);
    await plane.kubectl(['replace', '-f', '-'], JSON.stringify(withoutVersion(items[0]!)));
    await expect.poll(() => one.store.find(address)?.version).toBe(version);
    await expect(one.store.open(address, fresh.version)).rejects.toMatchObject({ code: 'RolledBack' });
  });

  test('a KEK that is added is loaded by every replica, and keys under the old one still open', async () => {
    const [one, two] = replicas;
    const address = newAddress();
    await one.store.put(address, headers('ghp_before'));
    const kid = `local-${randomBytes(4).toString('hex')}`;
    const data = { [kid]: randomBytes(32).toString('base64'), current: Buffer.from(kid).toString('base64') };
    await plane.kubectl([
      'patch',
      'secret',
      'mcp-keyring-kek',
      '-n',
      operatorNamespace,
      '-p',
      JSON.stringify({ data }),
    ]);
    for (const replica of replicas) await expect.poll(() => replica.keks.currentKid).toBe(kid);
    await expect.poll(() => openedText(two, address)).toBe('Authorization: ghp_before');
    await two.store.put(address, headers('ghp_after'));
    expect(Buffer.from(JSON.parse(await secretOf(one, address)).items[0].data.header, 'base64').toString()).toContain(
      kid,
    );
  });

  test('an emptied KEK Secret is not filled anew while sealed keys exist', async () => {
    await replicas[0].store.put(newAddress(), headers('ghp_kept'));
    const before = await plane.kubectl(['get', 'secret', 'mcp-keyring-kek', '-n', operatorNamespace, '-o', 'json']);
    await plane.kubectl(['patch', 'secret', 'mcp-keyring-kek', '-n', operatorNamespace, '-p', '{"data":null}']);
    await expect(Replica.start(plane)).rejects.toMatchObject({ code: 'KeyMaterialLost' });
    expect(replicas[0].keks.kids.length).toBeGreaterThan(0);
    const { data } = JSON.parse(before) as { data: object };
    await plane.kubectl([
      'patch',
      'secret',
      'mcp-keyring-kek',
      '-n',
      operatorNamespace,
      '-p',
      JSON.stringify({ data }),
    ]);
    await using again = await Replica.start(plane);
    expect(again.keks.currentKid).toBe(replicas[0].keks.currentKid);
  });

  test('a replica that loaded the KEK has it in memory once, in its KeyObject, and nowhere as base64', async () => {
    const script = fileURLToPath(new URL('./replica-child.ts', import.meta.url));
    const child = spawn(process.execPath, [script, plane.kubeconfig], { stdio: ['pipe', 'pipe', 'inherit'] });
    const [kid] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    const json = await plane.kubectl(['get', 'secret', 'mcp-keyring-kek', '-n', operatorNamespace, '-o', 'json']);
    const base64 = Buffer.from((JSON.parse(json) as { data: Record<string, string> }).data[kid] ?? '');
    const raw = Buffer.from(base64.toString(), 'base64');
    expect(raw.byteLength).toBe(32);
    const left = () => {
      const hits = findAllInMemory(child.pid ?? 0, { raw, base64, base64Tail: base64.subarray(16) });
      return { raw: hits.raw.length, base64: hits.base64.length, base64Tail: hits.base64Tail.length };
    };
    // What the connection received stays in its buffers until they are used again or collected.
    await expect.poll(left, { timeout: 30_000, interval: 500 }).toEqual({ raw: 1, base64: 0, base64Tail: 0 });
    child.stdin.end();
    await once(child, 'exit');
  });

  test('no value is in any object of the cluster’s key namespace', async () => {
    const address = newAddress();
    await replicas[0].store.put(address, headers('ghp_needle_in_the_store'));
    const all = JSON.stringify(await replicas[0].client.list(secrets, { namespace: keyNamespace }));
    expect(all).not.toContain('ghp_needle');
    expect(all).not.toContain(Buffer.from('ghp_needle_in_the_sto').toString('base64'));
  });
});
