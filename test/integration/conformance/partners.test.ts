/** Real clients at real servers: what they do and see through the sidecar is what they do and see without it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verifies } from '#test/requirements.ts';
import { buildOnce, SidecarProcess } from '../sidecar/support/sidecar-process.ts';
import { eventually } from '../sidecar/support/wire.ts';
import { visitAllInspector } from './partners/inspector.ts';
import { installPython, visitAllPython } from './partners/python.ts';
import { type Partner, startPartners } from './partners/servers.ts';
import { visitAllV1, visitAllV2 } from './partners/typescript-clients.ts';
import type { Outcomes, Place, Step, Visit, VisitAll } from './partners/visits.ts';
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
    partners.map(({ port }, index) => SidecarProcess.start({ broker: real.brokerOf(index), upstreamPort: port })),
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
  /** A client that starts anew for each step does only the first two of these. */
  readonly kinds?: readonly Step['kind'][];
}

const clients: readonly Client[] = [
  { name: 'SDK v1', visitAll: visitAllV1, mode: 'legacy' },
  { name: 'SDK v2, legacy', visitAll: visitAllV2, mode: 'legacy' },
  { name: 'SDK v2', visitAll: visitAllV2, mode: 'auto' },
  { name: 'Python SDK, legacy', visitAll: visitAllPython('mcp'), mode: 'legacy' },
  { name: 'Python SDK', visitAll: visitAllPython('mcp'), mode: 'auto' },
  { name: 'FastMCP', visitAll: visitAllPython('fastmcp'), mode: 'auto' },
  { name: 'Inspector', visitAll: visitAllInspector, mode: 'legacy', kinds: ['tools', 'call'] },
];

describe(verifies('mcp:33-real-partners'), () => {
  test.each(clients)('$name sees every server as it is', async ({ name, visitAll, mode, kinds }) => {
    const visitsTo = (placeOf: (index: number) => Place): readonly Visit[] =>
      partners.map(({ steps }, index) => ({
        ...placeOf(index),
        mode,
        steps: kinds === undefined ? steps : steps.filter(({ kind }) => kinds.includes(kind)).slice(0, 2),
      }));
    const before = real.requests().length;
    const [direct, proxied] = await Promise.all([
      visitAll(visitsTo((index) => ({ url: partners[index]!.url, authorization: upstreamAuthorization }))),
      visitAll(visitsTo((index) => ({ url: sidecars[index]!.url, authorization: real.authorization }))),
    ]);
    expect(name in expectedVersions ? direct.map(versionOf) : undefined).toEqual(expectedVersions[name]);
    for (const [index, partner] of partners.entries()) {
      expect({ server: partner.name, saw: proxied[index] }).toEqual({ server: partner.name, saw: direct[index] });
    }
    expect(JSON.stringify(direct)).toContain('the key is right');
    await eventually(() => real.requests().length > before);
  });
});

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
