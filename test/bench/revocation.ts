/**
 * How long a revoked key is in use: from the order at the operator to the last request that a sidecar would have sent with it. A real API
 * server, the key store and the broker over it, and sidecars' own watch, leases and TLS, in processes of the runtime that sidecars have.
 * Cut: between sidecars and broker nothing is delivered from a moment before the order on, and no connection ends.
 * Usage: node test/bench/revocation.ts [--sidecars 50] [--rounds 20] [--cuts 5]
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import { createBroker } from '#operator/broker/broker.ts';
import { SecretBytes } from '#operator/envelope/secret-bytes.ts';
import { userKeys } from '#operator/kube/keyring-resources.ts';
import { Turns } from '#operator/intake/turns.ts';
import { revokeKey } from '#operator/revocation/revoke-key.ts';
import { installKeyPlaces, Replica } from '#test/integration/keystore/cluster.ts';
import { alice, brokerWorld, github, podOf } from '#test/support/broker-world.ts';
import { startControlPlane } from '#test/support/control-plane.ts';
import { makeTestCertificate } from '#test/support/test-certificates.ts';

const { values } = parseArgs({
  options: {
    sidecars: { type: 'string', default: '50' },
    rounds: { type: 'string', default: '20' },
    cuts: { type: 'string', default: '5' },
  },
});
const sidecarCount = Number(values.sidecars);
const perProcess = 10;
const bun = join(import.meta.dirname, '../../node_modules/@oven/bun-linux-x64/bin/bun');
const nowMs = (): number => performance.timeOrigin + performance.now();
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** What lies between sidecars and broker. */
class Network {
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  readonly #server = createServer((near) => this.#join(near));
  #isCut = false;
  #port = 0;

  async listen(port: number): Promise<number> {
    this.#port = port;
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  /** Nothing is delivered any more, and nobody is told. */
  cut(): void {
    this.#isCut = true;
    for (const pair of this.#pairs) for (const socket of pair) socket.pause().removeAllListeners('data');
  }

  mend(): void {
    this.#isCut = false;
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
  }

  close(): void {
    this.mend();
    this.#server.close();
  }

  #join(near: Socket): void {
    const far = connect(this.#port, '127.0.0.1');
    const pair = [near, far] as const;
    this.#pairs.add(pair);
    for (const socket of pair) {
      socket.setNoDelay(true);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        this.#pairs.delete(pair);
        for (const other of pair) other.destroy();
      });
    }
    if (this.#isCut) return;
    near.on('data', (bytes) => far.write(bytes));
    far.on('data', (bytes) => near.write(bytes));
  }
}

interface Said {
  readonly what: 'warm' | 'gone' | 'streamEnded';
  readonly name: string;
  readonly atMs: number;
}

/** All sidecars, in as few processes as measure well. */
class Sidecars {
  readonly #children: ChildProcess[];
  readonly #listeners = new Set<(said: Said) => void>();

  constructor(origin: string, caFile: string, folder: string) {
    this.#children = Array.from({ length: Math.ceil(sidecarCount / perProcess) }, (_, index) => {
      const count = Math.min(perProcess, sidecarCount - index * perProcess);
      const program = join(import.meta.dirname, 'sidecar/revocation-sidecars.ts');
      const args = [program, origin, caFile, folder, String(index * perProcess), String(count)];
      const child = spawn(bun, args, { stdio: ['pipe', 'pipe', 'inherit'] });
      createInterface({ input: child.stdout }).on('line', (line) => {
        for (const listener of this.#listeners) listener(JSON.parse(line) as Said);
      });
      return child;
    });
  }

  tell(command: 'warm' | 'watch'): void {
    for (const child of this.#children) child.stdin?.write(`${command}\n`);
  }

  /** When each of them said it, or what is there after `msMax`. */
  async all(what: Said['what'], msMax: number): Promise<readonly number[]> {
    const times: number[] = [];
    const done = Promise.withResolvers<void>();
    const listener = (said: Said): void => {
      if (said.what === what) times.push(said.atMs);
      if (times.length === sidecarCount) done.resolve();
    };
    this.#listeners.add(listener);
    await Promise.race([done.promise, sleep(msMax)]);
    this.#listeners.delete(listener);
    return times;
  }

  close(): void {
    for (const child of this.#children) child.kill();
  }
}

function row(what: string, msOf: readonly number[], targetMs: number): boolean {
  const sorted = msOf.toSorted((left, right) => left - right);
  const at = (share: number): string => `${Math.round(sorted[Math.ceil(sorted.length * share) - 1] ?? Number.NaN)} ms`;
  const isMet = (sorted.at(-1) ?? Number.POSITIVE_INFINITY) <= targetMs;
  console.log(`| ${what} | ${sorted.length} | ${at(0.5)} | ${at(0.99)} | ${at(1)} | ${isMet ? 'met' : 'MISSED'} |`);
  return isMet;
}

const folder = mkdtempSync(join(tmpdir(), 'revocation-'));
await using plane = await startControlPlane();
await plane.installCrds();
await installKeyPlaces(plane);
await plane.kubectl(['create', 'namespace', github.namespace]);
await using replica = await Replica.start(plane);
const { client, store } = replica;
const world = brokerWorld();
const { ca, cert, key } = await makeTestCertificate(['localhost']);
writeFileSync(join(folder, 'ca.pem'), ca);
for (let index = 0; index < sidecarCount; index += 1) {
  world.sources.pods.put(podOf(github, `github-${index}`));
  writeFileSync(join(folder, `github-${index}`), `pod:team-a/github-${index}`);
}
const broker = createBroker({
  ...world.options,
  sources: { ...world.sources, userKeys: await replica.informerOf(userKeys) },
  keyStore: store,
  client,
  identity: { cert, key },
  monotonicMs: () => performance.now(),
  now: () => new Date(),
});
const network = new Network();
const port = await network.listen(await broker.listen(0, '127.0.0.1'));
const address = { organization: 'default', server: github, serverUid: 'uid-of-github', subject: alice };
const name = store.userKeyNameOf(address);
const userKey = {
  apiVersion: 'mcpkeyring.io/v1alpha1',
  kind: 'UserKey',
  metadata: { namespace: github.namespace, name },
  spec: { serverRef: { name: github.name }, subject: alice },
} as const;

async function setKey(): Promise<void> {
  using value = SecretBytes.takeFrom(Buffer.from('ghp_0123456789abcdef'));
  const { uid } = (await client.apply(userKeys, userKey, { fieldManager: 'bench' })).metadata;
  const known = await client.get(userKeys, userKey.metadata);
  const versionAbove = known?.status?.revoked?.version ?? 0;
  const { version } = await store.put(address, [{ name: 'Authorization', value }], { versionAbove });
  const metadata = { ...userKey.metadata, ...(uid === undefined ? {} : { uid }) };
  await client.apply(
    userKeys,
    { ...userKey, metadata, status: { version } },
    { fieldManager: 'bench', subresource: 'status' },
  );
}

let orders = 0;
async function revoke(): Promise<void> {
  orders += 1;
  const found = (await client.get(userKeys, userKey.metadata)) as UserKey;
  const options = { client, keyStore: store, audit: world.audit, turns: new Turns(), now: () => new Date() };
  const order = {
    actor: 'root',
    orderedAt: new Date(),
    reason: undefined,
    requestUid: `order-${orders}`,
    fingerprint: undefined,
  };
  await revokeKey(options, { userKey: found, address, organization: 'default', stored: undefined }, order);
}

const sidecars = new Sidecars(`https://localhost:${port}`, join(folder, 'ca.pem'), folder);

/** Milliseconds from the order on, for each sidecar: until no request has the key, and until its stream has ended. */
async function round(
  before: () => void,
  msMax: number,
): Promise<{ requests: readonly number[]; streams: readonly number[] }> {
  await setKey();
  const warm = sidecars.all('warm', 30_000);
  sidecars.tell('warm');
  if ((await warm).length < sidecarCount) throw new Error('not every sidecar got the key');
  await sleep(Math.random() * 3_000);
  sidecars.tell('watch');
  await sleep(50);
  before();
  const [gone, ended] = [sidecars.all('gone', msMax), sidecars.all('streamEnded', msMax)];
  const orderedAtMs = nowMs();
  await revoke();
  const requests = (await gone).map((atMs) => atMs - orderedAtMs);
  if (requests.length < sidecarCount) throw new Error(`${sidecarCount - requests.length} sidecars still have the key`);
  return { requests, streams: (await ended).map((atMs) => atMs - orderedAtMs) };
}

let isMet = true;
try {
  console.log(
    `${sidecarCount} sidecars, a key revoked ${values.rounds} times; with the network cut ${values.cuts} times for each kind of cut`,
  );
  console.log('| | samples | p50 | p99 | max | target |');
  console.log('|---|---|---|---|---|---|');
  const open: { requests: number[]; streams: number[] } = { requests: [], streams: [] };
  for (let index = 0; index < Number(values.rounds); index += 1) {
    const { requests, streams } = await round(() => {}, 5_000);
    open.requests.push(...requests);
    open.streams.push(...streams);
  }
  isMet = row('last request, watch stream open (1 s)', open.requests, 1_000) && isMet;
  isMet = row('open event streams end (1 s)', open.streams, 1_000) && isMet;
  const cuts = {
    'nothing is delivered any more': (): void => network.cut(),
    'the same, and it comes back after 9.5 s': (): void => {
      network.cut();
      setTimeout(() => network.mend(), 9_500);
    },
    'every connection is broken': (): void => network.mend(),
  };
  for (const [what, before] of Object.entries(cuts)) {
    const times: number[] = [];
    for (let index = 0; index < Number(values.cuts); index += 1) {
      times.push(...(await round(before, 15_000).then(({ requests }) => requests)));
      network.mend();
    }
    isMet = row(`last request, ${what} (10 s)`, times, 10_000) && isMet;
  }
} finally {
  sidecars.close();
  network.close();
  await broker.close();
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = isMet ? 0 : 1;
