/**
 * The MCP server that every proxy of the bench has behind it: stateless, answers at once, repeats ids. Under Bun, so that it takes less of
 * the processor it shares with the load than the proxies take of theirs. `bun upstream.ts <port>`; a GET opens a stream, and each stream
 * gets its turn of 100 events a second in all. `bun upstream.ts <port> <port> <certificate> <key>` serves the same over TLS at the second port.
 */
declare const Bun: {
  serve(options: {
    hostname: string;
    port: number;
    idleTimeout: number;
    maxRequestBodySize: number;
    tls?: { cert: string; key: string };
    fetch(request: Request): Response | Promise<Response>;
  }): void;
};

const eventsPerSecond = 100;
const streamsServed = 1_000;

interface Rpc {
  readonly id?: unknown;
  readonly method?: string;
  readonly params?: { readonly protocolVersion?: string; readonly arguments?: { readonly answerBytes?: number } };
}

const texts = new Map<number, string>();

/** JSON text of a tool's result with about so many bytes. */
function toolResult(bytes: number): string {
  const known = texts.get(bytes);
  if (known !== undefined) return known;
  const text = JSON.stringify({ content: [{ type: 'text', text: 'x'.repeat(Math.max(0, bytes - 90)) }] });
  texts.set(bytes, text);
  return text;
}

/** Large messages are not parsed: that would measure the upstream. The load writes them, with what matters in front. */
function read(text: string): Rpc {
  if (text.length < 16_384) return JSON.parse(text) as Rpc;
  const [, id = '0', bytes = '1000'] = /"id":(\d+).*?"answerBytes":(\d+)/.exec(text.slice(0, 300)) ?? [];
  return { id: Number(id), method: 'tools/call', params: { arguments: { answerBytes: Number(bytes) } } };
}

function resultOf({ method, params }: Rpc): string | undefined {
  switch (method) {
    case 'tools/call':
      return toolResult(params?.arguments?.answerBytes ?? 1_000);
    case 'initialize':
      return JSON.stringify({
        protocolVersion: params?.protocolVersion ?? '2025-11-25',
        capabilities: { tools: {} },
        serverInfo: { name: 'bench', version: '1.0.0' },
      });
    case 'tools/list':
      return JSON.stringify({ tools: [{ name: 'search', description: 'Search', inputSchema: { type: 'object' } }] });
    case 'ping':
      return '{}';
    case undefined:
    default:
      return undefined;
  }
}

async function answer(request: Request): Promise<Response> {
  const message = read(await request.text());
  if (message.id === undefined) return new Response(null, { status: 202 });
  const result = resultOf(message);
  const outcome = result === undefined ? '"error":{"code":-32601,"message":"Method not found"}' : `"result":${result}`;
  return new Response(`{"jsonrpc":"2.0","id":${JSON.stringify(message.id)},${outcome}}`, {
    headers: {
      'content-type': 'application/json',
      ...(message.method === 'initialize' ? { 'mcp-session-id': crypto.randomUUID() } : {}),
    },
  });
}

const streams: ReadableStreamDefaultController<Uint8Array>[] = [];
const encoder = new TextEncoder();

function stream(): Response {
  let own: ReadableStreamDefaultController<Uint8Array> | undefined;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      own = controller;
      streams.push(controller);
      controller.enqueue(encoder.encode(': open\n\n'));
    },
    cancel() {
      if (own !== undefined) streams.splice(streams.indexOf(own), 1);
    },
  });
  return new Response(body, { headers: { 'content-type': 'text/event-stream' } });
}

let turn = 0;

setInterval(() => {
  // Only the newest: some proxies never close a stream whose client has gone.
  turn = (turn + 1) % Math.max(1, Math.min(streamsServed, streams.length));
  const params = { level: 'info', data: performance.timeOrigin + performance.now() };
  const event = JSON.stringify({ jsonrpc: '2.0', method: 'notifications/message', params });
  streams.at(-1 - turn)?.enqueue(encoder.encode(`data: ${event}\n\n`));
}, 1_000 / eventsPerSecond);

const [, , port, tlsPort, cert = '', key = ''] = process.argv;
const common = {
  hostname: '127.0.0.1',
  idleTimeout: 0,
  maxRequestBodySize: 16_777_216,
  fetch: (request: Request) => (request.method === 'GET' ? stream() : answer(request)),
};
Bun.serve({ ...common, port: Number(port) });
if (tlsPort !== undefined) Bun.serve({ ...common, port: Number(tlsPort), tls: { cert, key } });
