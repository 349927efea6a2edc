import { fork, type ChildProcess } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import { TestBrokerClient } from '#test/support/broker-client.ts';
import { github } from '#test/support/broker-world.ts';
import { findInMemory } from '#test/support/process-memory.ts';
import { makeTestCertificate, type TestCertificate } from '#test/support/test-certificates.ts';

const podToken = 'pod:team-a/github-0';
let folder: string;
let certificate: TestCertificate;
let child: ChildProcess | undefined;

beforeAll(async () => {
  certificate = await makeTestCertificate(['localhost']);
  folder = mkdtempSync(join(tmpdir(), 'memory-'));
  writeFileSync(join(folder, 'cert.pem'), certificate.cert);
  writeFileSync(join(folder, 'key.pem'), certificate.key);
});

afterEach(() => {
  child?.kill('SIGKILL');
  child = undefined;
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The same key that the child makes of the seed; only this process has it as a string. */
function keyOf(seed: string): string {
  const digest = createHash('sha512').update(seed).digest();
  return String.fromCharCode(...digest.map((byte) => 0x61 + (byte % 26)));
}

/** A freed block of memory loses its first bytes to the allocator, so the middle of the key is looked for. */
function find(pid: number, key: string): ReturnType<typeof findInMemory> {
  return findInMemory(pid, Buffer.from(key.slice(16, 48)));
}

async function startBroker(seed: string, mode: 'honest' | 'careless') {
  const files = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  child = fork(join(import.meta.dirname, '../../bench/broker-process.ts'), [seed, ...files, mode], {
    execArgv: ['--expose-gc', '--disable-warning=ExperimentalWarning'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const started = child;
  const [{ port }] = (await once(started, 'message')) as [{ port: number }];
  const collect = async (): Promise<void> => {
    started.send('collect');
    await once(started, 'message');
  };
  return { port, pid: started.pid!, collect };
}

/** Many leases, one after another and side by side, on connections that live on. */
async function leaseOften(client: TestBrokerClient, key: string): Promise<void> {
  for (let round = 0; round < 20; round += 1) {
    const answers = await Promise.all(
      Array.from({ length: 16 }, () => client.lease(github, 'token-of-alice', podToken)),
    );
    for (const answer of answers) {
      expect(answer).toMatchObject({ decision: 'granted', headers: [{ value: `Bearer ${key}` }] });
    }
  }
}

describe('the memory of a broker that has handed out a key 320 times', () => {
  test('does not hold the key', async () => {
    const seed = randomUUID();
    const key = keyOf(seed);
    const { port, pid, collect } = await startBroker(seed, 'honest');
    using client = new TestBrokerClient(port, certificate.ca, { connectionsMax: 16 });
    expect(find(pid, key)).toEqual([]);
    await leaseOften(client, key);
    expect(find(pid, key)).toEqual([]);
    await collect();
    expect(find(pid, key)).toEqual([]);
  });

  test('would be seen to hold it, if one string had been made of it', async () => {
    const seed = randomUUID();
    const key = keyOf(seed);
    const { port, pid, collect } = await startBroker(seed, 'careless');
    using client = new TestBrokerClient(port, certificate.ca);
    await client.lease(github, 'token-of-alice', podToken);
    await collect();
    expect(find(pid, key).length).toBeGreaterThan(0);
  });
});
