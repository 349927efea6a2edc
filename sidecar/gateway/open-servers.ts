import type { ServerRef } from '../contract/lease.ts';
import type { FollowedServer, FollowingListener } from '../followed-server.ts';
import { LeaseError } from '../leases/lease-error.ts';
import { PeerCounts } from '../leases/peer-counts.ts';
import { ProxyError } from '../proxy/errors.ts';
import { brokerUnavailable } from '../proxy/rescue.ts';

export interface OpenServersOptions<T> {
  readonly follow: (server: ServerRef, listener: FollowingListener) => FollowedServer;
  /** What is kept with a server for as long as it is open. */
  readonly make: (server: ServerRef, followed: FollowedServer) => T;
  /** Monotonic. */
  readonly nowMs: () => number;
  readonly limits?: OpenServersLimits;
}

export interface OpenServersLimits {
  /** Most that are open at a time; each has a watch stream to the broker. */
  readonly serversMax: number;
  /** Most that are being opened: anybody can ask for a name. */
  readonly openingMax: number;
  /** Of them for one address, so that whoever makes up names leaves places for others. */
  readonly openingPerPeerMax: number;
  /** Longest wait for a policy. */
  readonly openMsMax: number;
  /** Without a request for this long a server is closed. */
  readonly idleMsMax: number;
  /** How long, and for how many names, "there is no such server" is remembered. */
  readonly unknownMsMax: number;
  readonly unknownMax: number;
}

export const openServersLimits: OpenServersLimits = {
  serversMax: 256,
  openingMax: 32,
  openingPerPeerMax: 24,
  openMsMax: 5_000,
  idleMsMax: 600_000,
  unknownMsMax: 2_000,
  unknownMax: 1_024,
};

/** A server in use. `release` is called once, when the request has ended. */
export interface Use<T> {
  readonly value: T;
  readonly release: () => void;
}

interface Entry<T> {
  readonly value: T;
  readonly followed: FollowedServer;
  opened: Promise<void>;
  isOpen: boolean;
  uses: number;
  usedAtMs: number;
}

/** The servers that requests come for: each is opened by the first one, and closed when none has come for a while. */
export class OpenServers<T> {
  readonly #options: OpenServersOptions<T>;
  readonly #limits: OpenServersLimits;
  readonly #entries = new Map<string, Entry<T>>();
  readonly #unknownUntilMs = new Map<string, number>();
  readonly #opening = new PeerCounts();

  constructor(options: OpenServersOptions<T>) {
    this.#options = options;
    this.#limits = options.limits ?? openServersLimits;
  }

  get size(): number {
    return this.#entries.size;
  }

  get followed(): readonly FollowedServer[] {
    return [...this.#entries.values()].map(({ followed }) => followed);
  }

  /**
   * `peer` is where the request comes from.
   * @throws ProxyError where there is no such server, no room for it, or no broker that knows
   */
  async use(server: ServerRef, peer: string): Promise<Use<T>> {
    const key = `${server.namespace}/${server.name}`;
    const entry = this.#entries.get(key) ?? this.#open(key, server, peer);
    entry.uses += 1;
    try {
      if (!entry.isOpen) await entry.opened;
    } catch (error) {
      entry.uses -= 1;
      throw error;
    }
    return { value: entry.value, release: () => this.#release(entry) };
  }

  /** Closes what was not used for long. To be called now and then. */
  closeIdle(): void {
    const sinceMs = this.#options.nowMs() - this.#limits.idleMsMax;
    for (const [key, entry] of this.#entries)
      if (entry.uses === 0 && entry.usedAtMs <= sinceMs) this.#close(key, entry);
  }

  closeAll(): void {
    for (const [key, entry] of this.#entries) this.#close(key, entry);
  }

  #release(entry: Entry<T>): void {
    entry.uses -= 1;
    entry.usedAtMs = this.#options.nowMs();
  }

  #open(key: string, server: ServerRef, peer: string): Entry<T> {
    if ((this.#unknownUntilMs.get(key) ?? 0) > this.#options.nowMs()) throw unknownServer();
    if (!this.#mayOpen(peer)) throw tooManyServers();
    const answer = Promise.withResolvers<void>();
    const followed = this.#options.follow(server, {
      snapshot: () => answer.resolve(),
      interrupted: (error) => {
        if (!isNotFound(error)) return;
        answer.reject(unknownServer());
        this.#forget(key, entry);
      },
    });
    const entry: Entry<T> = {
      value: this.#options.make(server, followed),
      followed,
      opened: answer.promise,
      isOpen: false,
      uses: 0,
      usedAtMs: this.#options.nowMs(),
    };
    entry.opened = this.#settle(key, entry, { answer, peer });
    // Handled by whoever waits; nobody may.
    entry.opened.catch(() => {});
    this.#entries.set(key, entry);
    followed.start();
    return entry;
  }

  #mayOpen(peer: string): boolean {
    const { openingMax, openingPerPeerMax } = this.#limits;
    return this.#opening.all < openingMax && this.#opening.of(peer) < openingPerPeerMax;
  }

  async #settle(
    key: string,
    entry: Entry<T>,
    { answer, peer }: { readonly answer: PromiseWithResolvers<void>; readonly peer: string },
  ): Promise<void> {
    const late = (): void => answer.reject(new ProxyError('BrokerUnavailable', brokerUnavailable));
    const timer = setTimeout(late, this.#limits.openMsMax);
    this.#opening.add(peer, 1);
    try {
      await answer.promise;
      // Only for a server that exists: names that are made up must not close others.
      if (!this.#makeRoom()) throw tooManyServers();
      entry.isOpen = true;
    } catch (error) {
      this.#close(key, entry);
      throw error;
    } finally {
      clearTimeout(timer);
      this.#opening.add(peer, -1);
    }
  }

  #forget(key: string, entry: Entry<T>): void {
    this.#unknownUntilMs.set(key, this.#options.nowMs() + this.#limits.unknownMsMax);
    const [oldest] = this.#unknownUntilMs.keys();
    if (this.#unknownUntilMs.size > this.#limits.unknownMax && oldest !== undefined)
      this.#unknownUntilMs.delete(oldest);
    this.#close(key, entry);
  }

  /** The one that was not used for longest makes room; one that is in use never does. */
  #makeRoom(): boolean {
    const open = [...this.#entries].filter(([, { isOpen }]) => isOpen);
    if (open.length < this.#limits.serversMax) return true;
    const idle = open.filter(([, { uses }]) => uses === 0);
    const [longest] = idle.toSorted(([, one], [, other]) => one.usedAtMs - other.usedAtMs);
    if (longest === undefined) return false;
    this.#close(...longest);
    return true;
  }

  #close(key: string, entry: Entry<T>): void {
    entry.followed.stop();
    if (this.#entries.get(key) === entry) this.#entries.delete(key);
  }
}

function isNotFound(error: unknown): boolean {
  return error instanceof LeaseError && error.code === 'ServerNotFound';
}

function unknownServer(): ProxyError {
  return new ProxyError('PathNotFound', noSuchServer);
}

export const noSuchServer =
  'There is no such MCP server. URLs here have the form /<namespace>/<name of the McpServer>/mcp.';

function tooManyServers(): ProxyError {
  return new ProxyError('Overloaded', 'Too many MCP servers are in use at once. Try again in a moment.');
}
