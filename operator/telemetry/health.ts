import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import type { Registry } from 'prom-client';

/** One reason why this replica might not be able to serve. `failing` returns that reason, or undefined while all is well. */
export interface HealthCheck {
  readonly name: string;
  readonly failing: () => string | undefined;
}

export interface ListenOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
}

export interface ListeningServer extends AsyncDisposable {
  readonly port: number;
  close(): Promise<void>;
}

export interface HealthOptions extends ListenOptions {
  /** Whether the process works at all. They must not ask anybody outside of it: a restart would not help. */
  readonly live: readonly HealthCheck[];
  /** Whether it can serve. */
  readonly ready: readonly HealthCheck[];
}

/** Nobody but a kubelet and a scraper comes here. */
const limits = { connectionsMax: 64, headerBytesMax: 8192, headersTimeoutMs: 5000, requestTimeoutMs: 10_000 } as const;

/** `/livez` and `/readyz`: 200, or 503 with the failing checks. */
export async function startHealthServer(options: HealthOptions): Promise<ListeningServer> {
  const routes: Routes = {
    '/livez': () => report(options.live),
    '/readyz': () => report(options.ready),
  };
  return await listen(routes, options);
}

/** `/metrics`. */
export async function startMetricsServer(
  options: ListenOptions & { readonly registry: Registry },
): Promise<ListeningServer> {
  const { registry } = options;
  const routes: Routes = {
    '/metrics': async () => ({ status: 200, contentType: registry.contentType, body: await registry.metrics() }),
  };
  return await listen(routes, options);
}

interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

type Routes = Readonly<Record<string, () => Answer | Promise<Answer>>>;

const plainText = 'text/plain; charset=utf-8';

function report(checks: readonly HealthCheck[]): Answer {
  const results = checks.map((check) => ({ name: check.name, reason: check.failing() }));
  const lines = results.map(({ name, reason }) => (reason === undefined ? `[+] ${name} ok` : `[-] ${name}: ${reason}`));
  const failed = results.some(({ reason }) => reason !== undefined);
  return {
    status: failed ? 503 : 200,
    contentType: plainText,
    body: [...lines, failed ? 'failed' : 'ok', ''].join('\n'),
  };
}

async function listen(routes: Routes, options: ListenOptions): Promise<ListeningServer> {
  const server = createServer(
    {
      maxHeaderSize: limits.headerBytesMax,
      headersTimeout: limits.headersTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      keepAliveTimeout: limits.headersTimeoutMs,
    },
    (request, response) => void respond(routes, request, response),
  );
  server.maxConnections = limits.connectionsMax;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  });
  const close = (): Promise<void> => closeServer(server);
  return { port: portOf(server), close, [Symbol.asyncDispose]: close };
}

async function respond(routes: Routes, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const answer = await answerTo(routes, request);
  // Nobody here reads a body: whoever sends one loses the connection.
  if (request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined) {
    response.setHeader('connection', 'close');
  }
  response.writeHead(answer.status, {
    'content-type': answer.contentType,
    'content-length': Buffer.byteLength(answer.body),
  });
  response.end(request.method === 'HEAD' ? undefined : answer.body);
}

async function answerTo(routes: Routes, request: IncomingMessage): Promise<Answer> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return { status: 405, contentType: plainText, body: 'method not allowed\n' };
  }
  const path = (request.url ?? '').split('?', 1)[0] ?? '';
  const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
  if (route === undefined) return { status: 404, contentType: plainText, body: 'not found\n' };
  try {
    return await route();
  } catch {
    // A check or a collector with a defect must not take the process down with it.
    return { status: 500, contentType: plainText, body: 'internal error\n' };
  }
}

function portOf(server: Server): number {
  const address: string | AddressInfo | null = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server listens on no port');
  return address.port;
}

async function closeServer(server: Server): Promise<void> {
  if (!server.listening) return;
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
