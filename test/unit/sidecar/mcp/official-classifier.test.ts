/** The official SDK's server as the judge of ours: what it refuses for its headers, we refuse, and whatever it serves, we let through in the same era. */
import { classifyInboundRequest, createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { clientCapabilitiesKey, parseMessage, protocolVersionKey } from '#sidecar/mcp/message.ts';
import { compareHeaders } from '#sidecar/mcp/standard-headers.ts';
import { verifies } from '#test/requirements.ts';
import { Fields } from '#sidecar/http1/fields.ts';

type Verdict = 'legacy' | 'modern' | number;

interface Sample {
  readonly body: object;
  readonly headers: Record<string, string>;
}

function ours({ body, headers }: Sample): Verdict {
  const parsed = parseMessage(new TextEncoder().encode(JSON.stringify(body)));
  if (parsed.kind === 'invalid') return parsed.problem === 'BadProtocolVersion' ? -32_602 : -32_600;
  const compared = compareHeaders(parsed.message, new Fields(headers));
  if (compared.kind === 'mismatch') return -32_020;
  if (compared.kind === 'claimMissing') return -32_602;
  return compared.kind === 'response' ? 'legacy' : compared.era;
}

const handler = createMcpHandler(() => {
  const server = new McpServer({ name: 'judge', version: '1' });
  server.registerTool('a', {}, () => ({ content: [] }));
  return server;
});

async function theirs({ body, headers }: Sample): Promise<Verdict> {
  const sent = { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers };
  const request = new Request('http://judge/mcp', { method: 'POST', headers: sent, body: JSON.stringify(body) });
  const response = await handler.fetch(request);
  const text = await response.text();
  const code = response.status === 400 ? (JSON.parse(text) as { error: { code: number } }).error.code : 0;
  // -32000 is what its legacy half says of what it has let through.
  if (code < -32_000) return code;
  const shown = new Fields(headers);
  const outcome = classifyInboundRequest({
    httpMethod: 'POST',
    body,
    ...optional('protocolVersionHeader', shown.get('mcp-protocol-version')),
    ...optional('mcpMethodHeader', shown.get('mcp-method')),
  });
  return outcome.kind === 'reject' ? outcome.code : outcome.kind;
}

function optional(name: string, value: string | null): object {
  return value === null ? {} : { [name]: value };
}

const versions = ['2024-11-05', '2025-11-25', '2026-07-28', '2027-01-01'];
const version = fc.constantFrom(...versions, undefined, undefined);
const method = fc.constantFrom('initialize', 'ping', 'tools/call', 'tools/list', 'resources/read', 'server/discover');

const meta = fc.record(
  {
    [protocolVersionKey]: fc.constantFrom<unknown>(...versions, '2026-07-28', '2026-07-28', 7, null),
    [clientCapabilitiesKey]: fc.constant({}),
    traceparent: fc.constant('00-1-1-00'),
  },
  { requiredKeys: [clientCapabilitiesKey] },
);

const names = ['a', 'grüße', '=?base64?YQ==?=', ''];
const params = fc.record(
  { name: fc.constantFrom(...names), uri: fc.constantFrom(...names), _meta: meta },
  { requiredKeys: [] },
);

const body = fc.oneof(
  fc.record({ id: fc.constantFrom(1, 'x'), method, params }, { requiredKeys: ['id', 'method'] }),
  fc.record({ method: fc.constantFrom('notifications/cancelled', 'x/y'), params }, { requiredKeys: ['method'] }),
  fc.constant({ id: 1, result: {} }),
);

const encodedNames = [...names, '=?base64?Z3LDvMOfZQ==?=', '=?base64?YQ==?=', '=?base64?YQ?=', '=?base64?/w==?='];

const sample: fc.Arbitrary<Sample> = fc
  .record({
    body,
    version,
    method: fc.option(method),
    name: fc.option(fc.constantFrom(...encodedNames)),
    agree: fc.boolean(),
  })
  .map(({ body: message, agree, ...shown }) => {
    const claim = claimOf(message);
    const headers = {
      ...(shown.version === undefined
        ? {}
        : { 'mcp-protocol-version': agree && claim !== undefined ? claim : shown.version }),
      ...(shown.method === null ? {} : { 'mcp-method': agree && 'method' in message ? message.method : shown.method }),
      ...(shown.name === null ? {} : { 'mcp-name': /^[\x20-\x7e]*$/.test(shown.name) ? shown.name : 'b' }),
    };
    return { body: { jsonrpc: '2.0', ...message }, headers };
  });

function claimOf(message: object): string | undefined {
  const claim = (message as { params?: { _meta?: Record<string, unknown> } }).params?._meta?.[protocolVersionKey];
  return typeof claim === 'string' ? claim : undefined;
}

/** The one thing in which we are stricter: a handshake whose claim is no text is legacy to them, and refused by us. */
function isHandshakeWithOddClaim(message: object): boolean {
  const { method: asked, params: given } = message as { method?: string; params?: { _meta?: object } };
  const claimed = given?._meta !== undefined && protocolVersionKey in given._meta;
  return asked === 'initialize' && claimed && claimOf(message) === undefined;
}

/** What ours may be for what theirs is: `-32022`, and what else is wrong with a modern envelope, is the upstream's to answer. */
const allowed: Record<string, readonly Verdict[]> = {
  legacy: ['legacy'],
  modern: ['modern'],
  '-32020': [-32_020],
  '-32022': ['modern', -32_020],
  '-32602': [-32_602, -32_020, 'modern'],
};

test(
  verifies('mcp:01-two-eras'),
  async () => {
    const seen = new Set<string>();
    await fc.assert(
      fc.asyncProperty(sample, async (request) => {
        fc.pre(!isHandshakeWithOddClaim(request.body));
        const [mine, judged] = [ours(request), await theirs(request)];
        seen.add(String(judged));
        expect(allowed[String(judged)], `theirs ${judged}, ours ${mine}`).toContain(mine);
      }),
      { numRuns: 3_000 },
    );
    expect([...seen].toSorted()).toEqual(Object.keys(allowed).toSorted());
  },
  60_000,
);
