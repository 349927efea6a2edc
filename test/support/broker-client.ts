import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';

import { parseWatchMessage } from '#contract/parse.ts';
import type { WatchMessage } from '#contract/watch.ts';

export interface BrokerReply {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
}

export interface BrokerCall {
  readonly method?: string;
  readonly token?: string | undefined;
  /** Sent as JSON unless it is text or bytes. */
  readonly body?: object | string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A sidecar's side of the contract, as plain as can be. */
export class TestBrokerClient implements Disposable {
  readonly agent: Agent;
  readonly #port: number;

  constructor(port: number, ca: string, options: { readonly connectionsMax?: number } = {}) {
    this.#port = port;
    this.agent = new Agent({ ca, keepAlive: true, maxSockets: options.connectionsMax ?? 64 });
  }

  async call(path: string, call: BrokerCall = {}): Promise<BrokerReply> {
    const response = await this.#send(path, call);
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    return {
      status: response.statusCode ?? 0,
      headers: response.headers,
      text: Buffer.concat(chunks).toString('utf8'),
    };
  }

  async lease(server: object, credential: string, token: string): Promise<unknown> {
    const { status, text } = await this.call('/v1/leases', { token, body: { server, credential } });
    if (status !== 200) throw new Error(`${status} ${text}`);
    return JSON.parse(text);
  }

  /** Opens a watch stream; `next` resolves its messages one by one, `undefined` at the end. */
  async watch(server: { readonly namespace: string; readonly name: string }, token: string): Promise<TestWatch> {
    const query = new URLSearchParams({ ...server }).toString();
    const response = await this.#send(`/v1/watch?${query}`, { method: 'GET', token });
    if (response.statusCode !== 200) throw new Error(`the watch stream was refused: ${response.statusCode}`);
    return new TestWatch(response);
  }

  [Symbol.dispose](): void {
    this.agent.destroy();
  }

  #send(path: string, call: BrokerCall): Promise<IncomingMessage> {
    const { body, token } = call;
    const bytes = body === undefined || typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const sent = request(
        {
          host: '127.0.0.1',
          servername: 'localhost',
          port: this.#port,
          path,
          method: call.method ?? 'POST',
          agent: this.agent,
          headers: {
            ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
            ...(bytes === undefined || call.headers?.['transfer-encoding'] !== undefined
              ? {}
              : { 'content-length': String(Buffer.byteLength(bytes)) }),
            'content-type': 'application/json',
            'mcp-keyring-contract': '1',
            ...call.headers,
          },
        },
        resolve,
      );
      sent.on('error', reject);
      sent.end(bytes);
    });
  }
}

export class TestWatch {
  readonly response: IncomingMessage;
  readonly #lines: AsyncIterator<string>;

  constructor(response: IncomingMessage) {
    this.response = response;
    this.#lines = linesOf(response);
  }

  async next(): Promise<WatchMessage | undefined> {
    const { value, done } = await this.#lines.next();
    return done === true ? undefined : parseWatchMessage(JSON.parse(value));
  }

  /** The next message that is no heartbeat. */
  async nextNews(): Promise<WatchMessage | undefined> {
    for (;;) {
      const message = await this.next();
      if (message?.kind !== 'heartbeat') return message;
    }
  }

  close(): void {
    this.response.destroy();
  }
}

async function* linesOf(response: IncomingMessage): AsyncGenerator<string> {
  let rest = '';
  try {
    for await (const chunk of response) {
      const lines = (rest + String(chunk)).split('\n');
      rest = lines.pop() ?? '';
      yield* lines;
    }
  } catch {
    // A stream that is cut has ended.
  }
}
