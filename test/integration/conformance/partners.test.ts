/** Real clients at real servers: what they do and see through the sidecar is what they do and see without it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verifies } from '#test/requirements.ts';
import { buildOnce, SidecarProcess } from '../sidecar/support/sidecar-process.ts';
import { eventually } from '../sidecar/support/wire.ts';
import { visitAllInspector } from './partners/inspector.ts';
import { installPython, visitAllPython } from './partners/python.ts';
import { type Partner, startPartners } from './partners/servers.ts';
import { visitAllV1, visitAllV2 } from './partners/typescript-clients.ts';
import type { Outcomes, Place, Step, Transport, Visit, VisitAll } from './partners/visits.ts';
import { type RealBroker, startRealBroker, upstreamAuthorization } from './suite/real-broker.ts';

let real: RealBroker;
let partners: readonly Partner[];
let sidecars: readonly SidecarProcess[];

beforeAll(async () => {
  installPython();
  await buildOnce();
  real = await startRealBroker();
  partners = await startPartners();
  sidecars = await Promise.all(
    partners.map(({ transport, path, port }, index) =>
      SidecarProcess.start({ broker: real.brokerOf(index, transport), path, upstreamPort: port }),
    ),
  );
}, 400_000);

afterAll(async () => {
  await Promise.all([...(sidecars ?? []), ...(partners ?? [])].map((one) => one[Symbol.asyncDispose]()));
  await real?.[Symbol.asyncDispose]();
});

interface Client {
  readonly name: string;
  readonly visitAll: VisitAll;
  readonly mode: Visit['mode'];
  /** Speaks the transport of 2024-11-05 as well. */
  readonly old?: true;
  /** A client that starts anew for each step does only the first two of these. */
  readonly kinds?: readonly Step['kind'][];
}

const clients: readonly Client[] = [
  { name: 'SDK v1', visitAll: visitAllV1, mode: 'legacy', old: true },
  { name: 'SDK v2, legacy', visitAll: visitAllV2, mode: 'legacy' },
  { name: 'SDK v2', visitAll: visitAllV2, mode: 'auto' },
  { name: 'Python SDK, legacy', visitAll: visitAllPython('mcp'), mode: 'legacy' },
  { name: 'Python SDK', visitAll: visitAllPython('mcp'), mode: 'auto' },
  { name: 'FastMCP', visitAll: visitAllPython('fastmcp'), mode: 'auto', old: true },
  { name: 'Inspector', visitAll: visitAllInspector, mode: 'legacy', old: true, kinds: ['tools', 'call'] },
];

describe(verifies('mcp:33-real-partners'), () => {
  test.each(clients)('$name sees every server as it is', async (client) => {
    const direct = await compare(client, 'http');
    expect(client.name in expectedVersions ? direct.map(versionOf) : undefined).toEqual(expectedVersions[client.name]);
  });

  test.each(clients.filter(({ old }) => old))(
    '$name sees every server of the old transport as it is',
    async (client) => {
      expect(await compare(client, 'sse')).toHaveLength(2);
    },
  );
});

/** What the client sees without a sidecar, once it has seen the same with it. */
async function compare({ visitAll, mode, kinds }: Client, transport: Transport): Promise<readonly Outcomes[]> {
  const indices = [...partners.keys()].filter((index) => partners[index]!.transport === transport);
  const visitsTo = (placeOf: (index: number) => Place): readonly Visit[] =>
    indices.map((index) => {
      const { steps } = partners[index]!;
      const chosen = kinds === undefined ? steps : steps.filter(({ kind }) => kinds.includes(kind)).slice(0, 2);
      return { ...placeOf(index), transport, mode, steps: chosen };
    });
  const directly = ({ port, path }: Partner): string => `http://127.0.0.1:${port}${path}`;
  const before = real.requests().length;
  const [direct, proxied] = await Promise.all([
    visitAll(visitsTo((index) => ({ url: directly(partners[index]!), authorization: upstreamAuthorization }))),
    visitAll(visitsTo((index) => ({ url: sidecars[index]!.url, authorization: real.authorization }))),
  ]);
  for (const [at, index] of indices.entries()) {
    const server = partners[index]!.name;
    expect({ server, saw: proxied[at] }).toEqual({ server, saw: direct[at] });
  }
  expect(JSON.stringify(direct)).toContain('the key is right');
  await eventually(() => real.requests().length > before);
  return direct;
}

const handshake = ['2025-11-25', '2025-11-25', '2025-11-25', '2025-11-25', '2025-11-25'];
const newest = ['2025-11-25', '2026-07-28', '2025-11-25', '2026-07-28', '2026-07-28'];

/** In the order of the servers; the Inspector does not say. */
const expectedVersions: Readonly<Record<string, readonly string[]>> = {
  'SDK v1': handshake,
  'SDK v2, legacy': handshake,
  'SDK v2': newest,
  'Python SDK, legacy': handshake,
  'Python SDK': newest,
  FastMCP: newest,
};

function versionOf([first]: Outcomes): unknown {
  return (first as { version: unknown }).version;
}
