/** A server that writes down the bytes it gets and answers with bytes. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { HttpReader, type RawMessage, whole } from './http-reader.ts';

export interface RawRequest extends RawMessage {
  readonly body: Buffer;
}

export type RawAnswer = (request: RawRequest, socket: Socket) => void | Promise<void>;

interface Certificate {
  readonly cert: string;
  readonly key: string;
}

export class RawUpstream implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly received: RawRequest[] = [];
  /** Answers the requests that come from now on. */
  answer: RawAnswer;

  private constructor(answer: RawAnswer, certificate: Certificate | undefined) {
    this.answer = answer;
    const accept = (socket: Socket): void => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      void this.#serve(socket);
    };
    const noDelay = true;
    this.#server =
      certificate === undefined
        ? createServer({ noDelay }, accept)
        : createTlsServer({ noDelay, ...certificate }, accept);
  }

  static async start(answer: RawAnswer, certificate?: Certificate): Promise<RawUpstream> {
    const upstream = new RawUpstream(answer, certificate);
    await once(upstream.#server.listen(0, '127.0.0.1'), 'listening');
    return upstream;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(socket: Socket): Promise<void> {
    const reader = new HttpReader(socket);
    for (let head = await reader.head(); head !== undefined; head = await reader.head()) {
      const body = await whole(reader.body(head));
      const request = { ...head, body };
      this.received.push(request);
      await this.answer(request, socket);
    }
  }
}
