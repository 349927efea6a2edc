/** HTTP as bytes, for what HTTP libraries do not let one send. */
import { connect, type Socket } from 'node:net';

export interface RawAnswer {
  readonly text: string;
  /** Milliseconds from the end of the request to the first byte of the answer. */
  readonly firstByteMs: number | undefined;
}

/** Longest wait for the first byte: a busy machine is not a silent sidecar. */
const firstByteMsMax = 10_000;

/** Sends `text` and resolves what came back until the server closed, or until `waitMs` passed without a further byte. */
export async function sendRaw(port: number, text: string | Buffer, waitMs = 400): Promise<RawAnswer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let firstByteMs: number | undefined;
    const startedMs = performance.now();
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    let timer = setTimeout(() => socket.destroy(), firstByteMsMax);
    socket.on('data', (chunk) => {
      firstByteMs ??= performance.now() - startedMs;
      chunks.push(chunk);
      clearTimeout(timer);
      timer = setTimeout(() => socket.destroy(), waitMs);
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(timer);
      resolve({ text: Buffer.concat(chunks).toString('latin1'), firstByteMs });
    });
  });
}

/** Sends each text on one connection, once the one before it is answered; resolves the answers. */
export async function sendInTurn(port: number, requests: readonly string[]): Promise<readonly string[]> {
  const answers: string[] = [];
  const socket = connect(port, '127.0.0.1');
  for (const request of requests) {
    socket.write(request);
    answers.push(await quiet(socket, 60));
  }
  socket.destroy();
  return answers;
}

/** Resolves what came when bytes have come and then none for `ms`. */
async function quiet(socket: Socket, ms: number): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    let timer: NodeJS.Timeout | undefined;
    const onData = (chunk: Buffer): void => {
      text += chunk.toString('latin1');
      clearTimeout(timer);
      timer = setTimeout(() => {
        socket.off('data', onData);
        resolve(text);
      }, ms);
    };
    socket.on('data', onData);
  });
}

export function status(answer: RawAnswer): number {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer.text)?.[1] ?? 0);
}

export function rpc(method: string, params: object = {}, id: number | string = 1): string {
  return JSON.stringify({ jsonrpc: '2.0', id, method, params });
}

export function call(tool: string, args: object = {}, id: number | string = 1): string {
  return rpc('tools/call', { name: tool, arguments: args }, id);
}

export interface PostOptions {
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** A POST as MCP clients make it. */
export async function post(url: string, body: string | Uint8Array, options: PostOptions = {}): Promise<Response> {
  const authorization = options.token === undefined ? {} : { authorization: `Bearer ${options.token}` };
  return fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...authorization,
      ...options.headers,
    },
    body,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
}

export async function eventually(check: () => boolean | Promise<boolean>, msMax = 15_000): Promise<void> {
  const startedMs = performance.now();
  while (!(await check())) {
    if (performance.now() - startedMs > msMax) throw new Error(`not within ${msMax} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
