import { PeerCounts } from '../leases/peer-counts.ts';

export interface ConnectionLimits {
  readonly connectionsMax: number;
  /** Of one peer. */
  readonly peerConnectionsMax: number;
  /** The last of all are for peers that have none. */
  readonly newPeersMin: number;
}

/** Sockets of the proxy's own: the broker, probes, metrics, listeners, relays. */
const ownFilesMax = 512;
/** What 128 MiB have room for beside everything else. */
const connectionsMost = 10_000;

/** Pure. What a process may have that can have so many files open: each connection may need one more to its server. */
export function connectionLimits(openFilesMax: number): ConnectionLimits {
  const fitting = Math.floor((openFilesMax - ownFilesMax) / 2);
  const connectionsMax = Math.max(64, Math.min(connectionsMost, fitting));
  return {
    connectionsMax,
    peerConnectionsMax: Math.floor((connectionsMax * 3) / 4),
    newPeersMin: Math.floor(connectionsMax / 8),
  };
}

/** What is asked of a connection. */
export interface Placed {
  readonly peer: string;
  /** Since when it has no request under way; `undefined` while it has one. */
  readonly waitingSinceMs: number | undefined;
}

/** `instead`: there is place for a new one when this one ends. */
export type Place<C> =
  | { readonly kind: 'free' }
  | { readonly kind: 'instead'; readonly of: C }
  | { readonly kind: 'none' };

/** How many are looked at for one that can go: so that whoever opens many costs little. */
const lookedAtMax = 64;

/**
 * All connections of clients, so few that there are always files for probes, the broker and the server. Where there are too many, the one
 * that has waited longest without a request gives way: who opens connections and says nothing keeps nobody out.
 */
export class ConnectionPlaces<C extends Placed> {
  readonly #limits: ConnectionLimits;
  readonly #all = new Set<C>();
  readonly #peers = new PeerCounts();
  #next: SetIterator<C>;

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
    this.#next = this.#all.values();
  }

  get size(): number {
    return this.#all.size;
  }

  add(connection: C): void {
    this.#all.add(connection);
    this.#peers.add(connection.peer, 1);
  }

  delete(connection: C): void {
    if (this.#all.delete(connection)) this.#peers.add(connection.peer, -1);
  }

  [Symbol.iterator](): SetIterator<C> {
    return this.#all.values();
  }

  /** For one more of `peer`. */
  placeFor(peer: string): Place<C> {
    const { connectionsMax, peerConnectionsMax, newPeersMin } = this.#limits;
    const own = this.#peers.of(peer);
    if (own >= peerConnectionsMax) return insteadOf(this.#longestWaiting((other) => other.peer === peer));
    if (this.#all.size < (own === 0 ? connectionsMax : connectionsMax - newPeersMin)) return { kind: 'free' };
    return insteadOf(this.#longestWaiting(() => true));
  }

  /** Among the next few, in turn. */
  #longestWaiting(mayGo: (connection: C) => boolean): C | undefined {
    let longest: C | undefined;
    for (let looked = 0; looked < Math.min(lookedAtMax, this.#all.size); looked += 1) {
      const connection = this.#oneMore();
      if (connection === undefined || !mayGo(connection)) continue;
      const sinceMs = connection.waitingSinceMs;
      if (sinceMs !== undefined && sinceMs < (longest?.waitingSinceMs ?? Number.POSITIVE_INFINITY))
        longest = connection;
    }
    return longest;
  }

  #oneMore(): C | undefined {
    const next = this.#next.next();
    if (next.done !== true) return next.value;
    this.#next = this.#all.values();
    return this.#next.next().value;
  }
}

function insteadOf<C>(connection: C | undefined): Place<C> {
  return connection === undefined ? { kind: 'none' } : { kind: 'instead', of: connection };
}
