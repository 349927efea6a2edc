/** Node's sockets as the client needs them; in the sidecar they are Bun's. */
import { Buffer } from 'node:buffer';
import { connect, createServer, type AddressInfo, type Server, type Socket as NodeSocket } from 'node:net';
import { Backlog } from '#sidecar/http1/backlog.ts';
import { ConnectionPool, type PoolLimits, type Waits } from '#sidecar/http1/connection-pool.ts';
import type { Dial, Socket } from '#sidecar/http1/socket.ts';

export function nodeDial(port: number): Dial {
  return (listener) =>
    new Promise<Socket>((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      let broken: Error | undefined;
      socket.once('connect', () => resolve(plain(socket)));
      socket.on('data', (bytes) => listener.received(Buffer.from(bytes)));
      socket.on('drain', () => listener.drained());
      socket.on('end', () => listener.ended());
      socket.on('error', (error) => {
        broken = error;
        reject(error);
      });
      socket.on('close', () => listener.closed(broken));
    });
}

function plain(socket: NodeSocket): Socket {
  return {
    write(bytes) {
      if (socket.destroyed) return -1;
      socket.write(bytes);
      return bytes.byteLength;
    },
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    terminate: () => void socket.destroy(),
  };
}

export type Script = (socket: NodeSocket, request: string, connection: number) => void;

/** A server that answers what a script says, byte for byte. */
export class RawServer implements AsyncDisposable {
  readonly requests: { readonly connection: number; readonly text: string }[] = [];
  readonly #server: Server;
  readonly sockets = new Set<NodeSocket>();
  connections = 0;

  private constructor(script: Script) {
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      const connection = ++this.connections;
      this.sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.sockets.delete(socket));
      socket.on('end', () => socket.end());
      let text = '';
      socket.on('data', (bytes) => {
        text += bytes.toString('latin1');
        const end = text.indexOf('\r\n\r\n');
        if (end === -1) return;
        const length = Number(/content-length: (\d+)/.exec(text)?.[1] ?? 0);
        if (text.length < end + 4 + length) return;
        const request = text.slice(0, end + 4 + length);
        text = text.slice(request.length);
        this.requests.push({ connection, text: request });
        script(socket, request, connection);
      });
    });
  }

  static async start(script: Script): Promise<RawServer> {
    const server = new RawServer(script);
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

export const limits: PoolLimits = {
  idleMsMax: 500,
  connectionsMax: 8,
};

export const waits: Waits = { connectMsMax: 1_000, answerMsMax: undefined };
export const unbounded = new Backlog({ bytesMax: 16_777_216, accountBytesMax: 8_388_608 });

export function poolTo(port: number, more: Partial<PoolLimits & Waits> = {}, backlog = unbounded): ConnectionPool {
  return new ConnectionPool({
    dial: nodeDial(port),
    host: `127.0.0.1:${port}`,
    limits: { ...limits, ...more },
    waits: () => ({ ...waits, ...more }),
    backlog,
    nowMs: () => performance.now(),
  });
}
