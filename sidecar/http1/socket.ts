import type { Buffer } from 'node:buffer';

/** What a connection needs of a TCP socket whose two directions close apart. */
export interface Socket {
  /** Returns how many bytes the kernel took, -1 when the other side has thrown the connection away. Nothing is kept for later. */
  write(bytes: Uint8Array): number;
  /** Reads nothing more, so that the sender has to wait. */
  pause(): void;
  resume(): void;
  /** Ends both directions at once. */
  terminate(): void;
}

/** The socket of a connection that a client has made. */
export interface AcceptedSocket extends Socket {
  /** Ends our direction, in order. */
  shutdown(): void;
}

export interface SocketListener {
  /** The bytes are the listener's own from now on. */
  received(bytes: Buffer): void;
  /** The kernel takes bytes again. */
  drained(): void;
  /** The other side has closed its direction, in order. */
  ended(): void;
  /** The connection is gone; `error` when it was reset. */
  closed(error: Error | undefined): void;
}

/** Connects. Rejects when nobody listens there. */
export type Dial = (listener: SocketListener) => Promise<Socket>;
