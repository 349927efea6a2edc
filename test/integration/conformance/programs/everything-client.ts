/**
 * The client of SDK v2 that the conformance suite drives: `node everything-client.ts <url>`. The suite says in the environment which
 * scenario it plays and which revision is spoken.
 */
import { Client, type ClientOptions, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const { MCP_CONFORMANCE_SCENARIO: scenario = '', MCP_CONFORMANCE_PROTOCOL_VERSION: revision = '' } = process.env;
const url = new URL(process.argv[2] ?? '');
const modern = { versionNegotiation: { mode: 'auto' } } satisfies ClientOptions;
const negotiated: ClientOptions = revision >= '2026-07-28' ? modern : {};

async function connect(options: ClientOptions, fetch = globalThis.fetch): Promise<Client> {
  const client = new Client({ name: 'everything-client', version: '1.0.0' }, options);
  await client.connect(new StreamableHTTPClientTransport(url, { fetch }));
  return client;
}

/** Some servers of the suite know only what their scenario is about; they speak the modern era, and cannot say so. */
const discoverHere: typeof fetch = async (input, init) => {
  const message = typeof init?.body === 'string' ? (JSON.parse(init.body) as { method?: string; id?: unknown }) : {};
  if (message.method !== 'server/discover') return fetch(input, init);
  const _meta = { 'io.modelcontextprotocol/serverInfo': { name: 'suite', version: '1.0.0' } };
  const result = {
    supportedVersions: ['2026-07-28'],
    capabilities: { tools: { listChanged: true }, resources: {}, prompts: {} },
    _meta,
  };
  return Response.json({ jsonrpc: '2.0', id: message.id, result });
};

async function callEveryTool(client: Client, args: Readonly<Record<string, unknown>>): Promise<void> {
  const { tools } = await client.listTools();
  for (const { name } of tools) await client.callTool({ name, arguments: args }).catch(report);
}

function report(error: unknown): void {
  console.error(String(error));
}

interface Context {
  readonly toolCalls?: readonly { readonly name: string; readonly arguments: Record<string, unknown> }[];
}

const scenarios: Readonly<Record<string, () => Promise<Client>>> = {
  async initialize() {
    const client = await connect({});
    await client.listTools();
    return client;
  },
  async tools_call() {
    const client = await connect(negotiated);
    await client.listTools();
    await client.callTool({ name: 'add_numbers', arguments: { a: 5, b: 3 } });
    return client;
  },
  'request-metadata': () => connect({ ...modern, capabilities: { roots: {}, sampling: {}, elicitation: {} } }),
  async 'elicitation-sep1034-client-defaults'() {
    const client = await connect({ capabilities: { elicitation: { form: { applyDefaults: true } } } });
    client.setRequestHandler('elicitation/create', () => ({ action: 'accept', content: {} }));
    await callEveryTool(client, {});
    return client;
  },
  async 'sse-retry'() {
    const client = await connect({});
    await callEveryTool(client, {});
    return client;
  },
  async 'http-standard-headers'() {
    const client = await connect(modern, discoverHere);
    await callEveryTool(client, {});
    for (const { uri } of (await client.listResources()).resources) await client.readResource({ uri });
    for (const { name } of (await client.listPrompts()).prompts) await client.getPrompt({ name, arguments: {} });
    return client;
  },
  async 'http-custom-headers'() {
    const client = await connect(modern, discoverHere);
    await client.listTools();
    const { toolCalls = [] } = JSON.parse(process.env['MCP_CONFORMANCE_CONTEXT'] ?? '{}') as Context;
    for (const call of toolCalls) await client.callTool(call);
    return client;
  },
  async 'http-invalid-tool-headers'() {
    const client = await connect(modern, discoverHere);
    await callEveryTool(client, { region: 'us-west1' });
    return client;
  },
  async 'sep-2322-client-request-state'() {
    const client = await connect({ ...modern, capabilities: { elicitation: {} } }, discoverHere);
    client.setRequestHandler('elicitation/create', () => ({ action: 'accept', content: { confirmed: true } }));
    for (const name of ['echo_state', 'no_state', 'unrelated', 'no_result_type']) {
      await client.callTool({ name: `test_mrtr_${name}`, arguments: {} }).catch(report);
    }
    return client;
  },
  async 'json-schema-ref-no-deref'() {
    const client = await connect({});
    await client.listTools();
    return client;
  },
  async 'json-schema-2020-12-preservation'() {
    const client = await connect(negotiated);
    const { tools } = await client.listTools();
    const schema = tools.find(({ name }) => name === 'json_schema_2020_12_tool')?.inputSchema;
    await client.callTool({ name: 'json_schema_echo', arguments: { schema } });
    return client;
  },
};

const play = scenarios[scenario];
if (play === undefined) throw new Error(`no scenario ${scenario}`);
await (await play()).close();
