/** HTTP around an MCP server that needs a key, as those behind a sidecar do: who does not show it gets 401. */
import { createServer as createTlsServer } from 'node:https';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';

export interface SessionTransport {
  handleRequest(request: IncomingMessage, response: ServerResponse, body: unknown): Promise<void>;
}

export interface KeyedServerOptions {
  /** Value of the header Authorization that callers have to show. */
  readonly authorization: string;
  readonly sessions: ReadonlyMap<string, SessionTransport>;
  readonly begin: () => Promise<SessionTransport>;
  /** Speaks TLS with it. */
  readonly certificate?: { readonly cert: string; readonly key: string } | undefined;
  /** Serves what is not of the legacy era, and says so; without it, everything is. */
  readonly serveModern?: (request: Posted, response: ServerResponse, body: unknown) => Promise<void> | undefined;
}

/** Node gives every request of a server both. */
export type Posted = IncomingMessage & { method: string; url: string };

const localHost = /^(?:localhost|127\.0\.0\.1)(?::\d+)?$/;

export function keyedServer(options: KeyedServerOptions): Server {
  const { authorization, sessions, begin, certificate, serveModern } = options;
  async function answer(request: Posted, response: ServerResponse): Promise<void> {
    if (!localHost.test(request.headers.host ?? '')) return refuse(response, 403, 'Wrong host');
    if (request.headers.authorization !== authorization) return refuse(response, 401, 'A key is needed');
    const body = request.method === 'POST' ? await readJson(request) : undefined;
    const served = request.method === 'POST' ? serveModern?.(request, response, body) : undefined;
    if (served !== undefined) return served;
    await answerLegacy(request, response, body);
  }
  async function answerLegacy(request: Posted, response: ServerResponse, body: unknown): Promise<void> {
    const id = request.headers['mcp-session-id']?.toString();
    const transport = id === undefined && isInitialize(body) ? await begin() : sessions.get(id ?? '');
    if (transport !== undefined) await transport.handleRequest(request, response, body);
    else if (id === undefined) refuse(response, 400, 'Bad Request: Session ID required');
    else refuse(response, 404, 'Session not found');
  }
  const listener: RequestListener = (request, response) => void answer(request as Posted, response);
  return certificate === undefined ? createServer(listener) : createTlsServer(certificate, listener);
}

function isInitialize(body: unknown): boolean {
  return typeof body === 'object' && body !== null && 'method' in body && body.method === 'initialize';
}

function refuse(response: ServerResponse, status: number, message: string): void {
  const code = status === 404 ? -32_001 : -32_000;
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ jsonrpc: '2.0', error: { code, message }, id: null }));
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    return undefined;
  }
}

/** Events of one session; ids grow, so that what came after one is known. */
export class SessionEvents<Message extends object> {
  readonly #events: { readonly id: string; readonly streamId: string; readonly message: Message }[] = [];

  storeEvent(streamId: string, message: Message): Promise<string> {
    const id = `${streamId}::${String(this.#events.length).padStart(6, '0')}`;
    this.#events.push({ id, streamId, message });
    return Promise.resolve(id);
  }

  async replayEventsAfter(
    lastEventId: string,
    { send }: { send: (eventId: string, message: Message) => Promise<void> },
  ): Promise<string> {
    const streamId = lastEventId.split('::')[0] ?? '';
    for (const event of this.#events) {
      const isLater = event.streamId === streamId && event.id > lastEventId;
      // An event without a message only said where to resume.
      if (isLater && Object.keys(event.message).length > 0) await send(event.id, event.message);
    }
    return streamId;
  }
}
