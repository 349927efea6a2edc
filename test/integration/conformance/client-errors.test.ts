/** What real clients make of the errors of the proxy: each has to show which one it is, and its sentence. */
import { beforeAll, describe, expect, test } from 'vitest';
import { verifies } from '#test/requirements.ts';
import { setUpSidecar } from '../sidecar/support/set-up.ts';
import { buildOnce } from '../sidecar/support/sidecar-process.ts';
import type { Responder } from '../sidecar/support/upstream.ts';
import { installPython, visitAllPython } from './partners/python.ts';
import { visitAllV1, visitAllV2 } from './partners/typescript-clients.ts';
import type { Visit, VisitAll } from './partners/visits.ts';

beforeAll(async () => {
  installPython();
  await buildOnce();
}, 300_000);

const clients: readonly (readonly [string, VisitAll, Visit['mode']])[] = [
  ['SDK v1', visitAllV1, 'legacy'],
  ['SDK v2, legacy', visitAllV2, 'legacy'],
  ['SDK v2', visitAllV2, 'auto'],
  ['Python SDK, legacy', visitAllPython('mcp'), 'legacy'],
  ['Python SDK', visitAllPython('mcp'), 'auto'],
];

/** Speaks both eras as far as it has to, answers a call by breaking off, and codes a list of tasks. */
const breaking: Responder = (request, response, body) => {
  if (request.method !== 'POST') return void response.writeHead(405).end();
  const message = JSON.parse(body) as { id?: unknown; method: string; params?: { protocolVersion?: string } };
  const { id, method, params } = message;
  if (id === undefined) return void response.writeHead(202).end();
  if (method === 'tools/call') return void request.socket.destroy();
  const result = {
    resultType: 'complete',
    supportedVersions: ['2026-07-28'],
    protocolVersion: params?.protocolVersion ?? '2025-11-25',
    capabilities: { tools: {} },
    serverInfo: { name: 'breaking', version: '1' },
    _meta: { 'io.modelcontextprotocol/serverInfo': { name: 'breaking', version: '1' } },
    tools: [],
    ttlMs: 0,
    cacheScope: 'private',
  };
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ jsonrpc: '2.0', id, result }));
};

describe(verifies('mcp:15-clients-understand'), () => {
  test.each(clients)('%s', async (_name, visitAll, mode) => {
    await using world = await setUpSidecar({ respond: breaking });
    const steps = [{ kind: 'call', name: 'search' }] as const;
    const visit: Visit = { url: world.sidecar.url, authorization: 'Bearer alice', transport: 'http', mode, steps };
    const [outcomes = []] = await visitAll([visit]);
    const outcome = JSON.stringify(outcomes[1]);
    expect(outcome).toMatch(/"error":"(?:McpError|ProtocolError|MCPError)"/);
    expect(outcome).toContain('The MCP server behind the proxy did not answer.');
    expect(outcome).not.toContain('jsonrpc');
  });
});
