/**
 * Sidecars as far as leases go, as many as asked for, each with connections of its own: for test/bench/revocation.ts. Runs under Bun, as
 * the sidecar does. Reads one command a line (`warm`, `watch`), and says in JSON lines when the user's key is there or gone.
 * Usage: revocation-sidecars.ts <origin> <ca file> <folder of pod tokens> <first> <count>
 */
import { createInterface } from 'node:readline';
import { join } from 'node:path';

import { followServer } from '#sidecar/followed-server.ts';
import { BrokerClient, type BrokerFetch } from '#sidecar/leases/broker-client.ts';
import { FileSource } from '#sidecar/leases/file-source.ts';
import { userOf } from '#sidecar/proxy/sessions.ts';
import { StreamLeases } from '#sidecar/proxy/stream-leases.ts';
import { createReporting } from '#sidecar/reporting.ts';

const [, , origin = '', caFile = '', folder = '', first = '0', count = '1'] = process.argv;
/** Knows Bun's network, and so is checked with the sidecar's own types only. */
const upstreamModule = '#sidecar/proxy/upstream.ts';
interface Upstream {
  readonly createBrokerFetch: (options: { readonly origin: string; readonly ca: FileSource }) => BrokerFetch;
}
// oxlint-disable-next-line typescript/no-unsafe-type-assertion
const { createBrokerFetch } = (await import(upstreamModule)) as Upstream;

const credential = 'token-of-alice';
const pollMs = 2;
const nowMs = (): number => performance.now();
const file = (path: string): FileSource => new FileSource({ path, ageMsMax: 60_000, bytesMax: 65_536, nowMs });

interface Sidecar {
  readonly name: string;
  readonly has: () => Promise<boolean>;
  readonly openStream: () => Promise<void>;
  isWatched: boolean;
}

function say(what: 'warm' | 'gone' | 'streamEnded', name: string): void {
  process.stdout.write(`${JSON.stringify({ what, name, atMs: performance.timeOrigin + performance.now() })}\n`);
}

function sidecarOf(index: number): Sidecar {
  const name = `github-${index}`;
  const broker = new BrokerClient(createBrokerFetch({ origin, ca: file(caFile) }), file(join(folder, name)));
  const gauges = { connections: () => 0, leases: () => 0, streams: () => 0, watchConnected: () => true };
  const reporting = createReporting({ broker, nowMs, log: () => {}, gauges: gauges as never });
  const followed = followServer({ server: { namespace: 'team-a', name: 'github' }, broker, nowMs, reporting });
  const streams = new StreamLeases({ leases: followed.leases, nowMs });
  followed.start();
  const lease = async () => {
    try {
      return await followed.leases.lease(credential);
    } catch {
      return undefined;
    }
  };
  return {
    name,
    isWatched: false,
    has: async () => (await lease())?.decision === 'granted',
    openStream: async () => {
      const granted = await lease();
      if (granted?.decision !== 'granted') return;
      const { subject, subjectKey, keyVersion } = granted;
      const opened = { credential, peer: '', user: userOf(subject), subjectKey, hasKey: true, keyVersion };
      streams.add(opened, { goOn: () => {}, end: () => say('streamEnded', name) });
    },
  };
}

const sidecars = Array.from({ length: Number(count) }, (_, index) => sidecarOf(Number(first) + index));

async function warm(sidecar: Sidecar): Promise<void> {
  while (!(await sidecar.has())) await new Promise((resolve) => setTimeout(resolve, 20));
  await sidecar.openStream();
  say('warm', sidecar.name);
}

/** A request that comes now would not have the key. */
async function look(sidecar: Sidecar): Promise<void> {
  if (!sidecar.isWatched || (await sidecar.has()) || !sidecar.isWatched) return;
  sidecar.isWatched = false;
  say('gone', sidecar.name);
}

setInterval(() => {
  for (const sidecar of sidecars) void look(sidecar);
}, pollMs);

for await (const command of createInterface({ input: process.stdin })) {
  if (command === 'warm') for (const sidecar of sidecars) void warm(sidecar);
  if (command === 'watch') for (const sidecar of sidecars) sidecar.isWatched = true;
}
process.exit(0);
