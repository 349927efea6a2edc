import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { describe, expect, test } from 'vitest';

import { deriveEnvelopeKeys } from '#operator/envelope/key-schedule.ts';
import { SecretBytes } from '#operator/envelope/secret-bytes.ts';
import { findAllInMemory } from '#test/support/process-memory.ts';
import { makeTestCertificate } from '#test/support/test-certificates.ts';

const script = fileURLToPath(new URL('./memory-child.ts', import.meta.url));
const context = {
  cluster: 'c',
  org: 'o',
  ns: 'n',
  name: 'x',
  iss: 'i',
  sub: 's',
  server: 'u',
  slot: 'authorization',
  gen: 1,
};

/** What the child said; `salt` of the envelope it made. */
interface Said {
  readonly salt?: string;
}

/** Visible ASCII, as keys are. */
function randomKey(length: number): Buffer {
  return Buffer.from(randomBytes(length).map((byte) => 0x21 + (byte % 94)));
}

/** Lets a child handle `secrets` and counts what is left of `needles` in its memory afterwards. */
async function leftOf(
  mode: string,
  secrets: readonly Buffer[],
  needlesOf: (said: Said) => Readonly<Record<string, Uint8Array>>,
): Promise<Readonly<Record<string, number>>> {
  const args = [script, mode, ...secrets.map(({ byteLength }) => String(byteLength))];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  for (const secret of secrets) child.stdin.write(secret);
  const died = once(child, 'exit').then(() => Promise.reject(new Error('the child ended too early')));
  died.catch(() => {});
  try {
    const [line] = (await Promise.race([once(createInterface({ input: child.stdout }), 'line'), died])) as [string];
    // It says so just before it blocks.
    await new Promise((done) => setTimeout(done, 200));
    const hits = findAllInMemory(child.pid ?? 0, needlesOf(JSON.parse(line) as Said));
    return Object.fromEntries(Object.entries(hits).map(([name, places]) => [name, places.length]));
  } finally {
    child.stdin.end();
    await died.catch(() => {});
  }
}

/** A freed block of memory loses its first bytes to the allocator, so what follows is looked for too. */
const tailOf = (bytes: Buffer) => bytes.subarray(16);

describe('no copy is left in the memory of a process', () => {
  test.each([40, 300, 8_000])(
    'of a key of %i bytes, its seed or its derived keys after sealing, opening and use',
    async (length) => {
      const [key, kek, seed] = [randomKey(length), randomBytes(32), randomBytes(32)];
      const left = await leftOf('sealAndOpen', [key, kek, seed], ({ salt = '' }) => {
        const input = { seed: SecretBytes.takeFrom(Buffer.from(seed)), salt: Buffer.from(salt, 'base64'), context };
        const { encryption, mac } = deriveEnvelopeKeys(input);
        const derived = { encryption: encryption.bytes, encryptionTail: tailOf(encryption.bytes), mac: mac.bytes };
        return { key, keyTail: tailOf(key), kek, seed, seedTail: tailOf(seed), ...derived };
      });
      // The KEK is in use until the process ends: once, in its KeyObject.
      expect(left).toEqual({
        key: 0,
        keyTail: 0,
        kek: 1,
        seed: 0,
        seedTail: 0,
        encryption: 0,
        encryptionTail: 0,
        mac: 0,
      });
    },
  );

  test.each([40, 300, 8_000])('of a key of %i bytes after a request carried it', async (length) => {
    const key = randomKey(length);
    expect(await leftOf('sendAndReceive', [key], () => ({ key, keyTail: tailOf(key) }))).toEqual({
      key: 0,
      keyTail: 0,
    });
  });

  test.each([40, 300, 6_000])('of a key of %i bytes after it was tried at its upstream', async (length) => {
    const key = randomKey(length);
    const { cert, key: privateKey, ca } = await makeTestCertificate(['localhost']);
    let seen = 0;
    const upstream = createServer({ cert, key: privateKey, maxHeaderSize: 32_768 }, ({ headers }, response) => {
      if (headers.authorization === `Bearer ${key.toString()}`) seen += 1;
      response.end('{}');
    });
    await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
    const url = `https://localhost:${(upstream.address() as AddressInfo).port}/user`;
    const place = Buffer.from(JSON.stringify({ url, ca }));
    try {
      const left = await leftOf('tryAtUpstream', [key, place], () => ({ key, keyTail: tailOf(key) }));
      expect(seen).toBe(1);
      expect(left).toEqual({ key: 0, keyTail: 0 });
    } finally {
      upstream.closeAllConnections();
      upstream.close();
    }
  });

  test('of a KEK, in bytes or base64, after its Secret was read and written', async () => {
    const kek = randomBytes(32);
    const base64 = Buffer.from(kek.toString('base64'));
    const secret = { metadata: { name: 'a' }, data: { 'local-00000001': kek.toString('base64') } };
    const json = Buffer.from(JSON.stringify(secret));
    const left = await leftOf('readAndWriteSecret', [json], () => ({
      kek,
      kekTail: tailOf(kek),
      base64,
      base64Tail: tailOf(base64),
    }));
    expect(left).toEqual({ kek: 0, kekTail: 0, base64: 0, base64Tail: 0 });
  });
});

test.each(['leakString', 'leakBuffer'])('the same search finds what a process leaks (%s)', async (mode) => {
  const key = randomKey(40);
  const left = await leftOf(mode, [key], () => ({ key }));
  expect(left['key']).toBeGreaterThan(0);
});
