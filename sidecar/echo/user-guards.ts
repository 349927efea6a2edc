import type { LeasedHeader } from '../contract/lease.ts';
import { EchoGuard } from './echo-guard.ts';

/** What a body is guarded by: another one from one chunk to the next, where the user gets another key meanwhile. */
export interface CurrentGuard {
  readonly current: EchoGuard | undefined;
}

/** The guard of one response, which knows every key that its user had since it began, and those of shortly before. */
export interface ResponseGuard extends CurrentGuard {
  /** The response has ended; may be called again. */
  end(): void;
}

/**
 * How long a key that is not leased any more is looked for: a server answers later with what it was sent before. Longer than official
 * clients wait for an answer (60 s, 5 min for streams) and than a session is kept that nobody uses in most servers; no longer, as
 * for that time it is in memory.
 */
export const rememberedMinutes = 10;

/** Most keys of one user; the longest unused is forgotten for the next. */
const keysMax = 16;

/** Most users; beyond that, one is forgotten who has nothing open. */
const usersMax = 16_384;

const minuteMs = 60_000;

/** The keys that were attached to requests of one server, by user: as they are now, and as they were until a few minutes ago. */
export class UserGuards {
  readonly #users = new Map<string, UserKeys>();
  readonly #ofLeases = new WeakMap<readonly LeasedHeader[], readonly string[]>();
  /** Since the first of these users: a clock that costs nothing to read. */
  #minute = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Users about whom something is remembered. */
  get size(): number {
    return this.#users.size;
  }

  /** `headers` of the lease with which the request goes; absent when it goes without a key. */
  begin(user: string, headers: readonly LeasedHeader[] | undefined): ResponseGuard {
    const keys = this.#users.get(user) ?? this.#add(user);
    if (headers !== undefined) keys.learn(this.#keysOf(headers), this.#minute);
    const response: ResponseGuard = {
      get current() {
        return keys.guard;
      },
      end: () => {
        if (keys.end(response, this.#minute) && this.#users.get(user) === keys) this.#delete(user);
      },
    };
    keys.begin(response, this.#minute);
    return response;
  }

  /** A minute has passed. */
  tick(): void {
    this.#minute += 1;
    for (const [user, keys] of this.#users) if (keys.forget(this.#minute - rememberedMinutes)) this.#delete(user);
  }

  #keysOf(headers: readonly LeasedHeader[]): readonly string[] {
    const known = this.#ofLeases.get(headers);
    if (known !== undefined) return known;
    const keys = EchoGuard.keysOf(headers);
    this.#ofLeases.set(headers, keys);
    return keys;
  }

  #add(user: string): UserKeys {
    if (this.#users.size >= usersMax) this.#makeRoom();
    const keys = new UserKeys();
    this.#users.set(user, keys);
    if (this.#timer === undefined) {
      this.#timer = setInterval(() => this.tick(), minuteMs);
      this.#timer.unref();
    }
    return keys;
  }

  #makeRoom(): void {
    for (const [user, keys] of this.#users) {
      if (keys.isOpen) continue;
      this.#users.delete(user);
      return;
    }
  }

  #delete(user: string): void {
    this.#users.delete(user);
    if (this.#users.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

class UserKeys {
  /** The minute in which each key was last leased, the longest ago first. */
  readonly #leasedAt = new Map<string, number>();
  /** The minute in which each response that is under way began. */
  readonly #open = new Map<ResponseGuard, number>();
  guard: EchoGuard | undefined;

  get isOpen(): boolean {
    return this.#open.size > 0;
  }

  learn(keys: readonly string[], minute: number): void {
    let isNew = false;
    for (const key of keys) {
      isNew ||= !this.#leasedAt.has(key);
      // Keeps its place, which costs less; the order is put right when there are too many.
      this.#leasedAt.set(key, minute);
    }
    if (!isNew) return;
    while (this.#leasedAt.size > keysMax) this.#leasedAt.delete(this.#oldest(keys));
    this.#renewGuard();
  }

  begin(response: ResponseGuard, minute: number): void {
    this.#open.set(response, minute);
  }

  /** Returns whether nothing is left to remember. */
  end(response: ResponseGuard, minute: number): boolean {
    const begun = this.#open.get(response);
    if (begun === undefined) return false;
    this.#open.delete(response);
    // What it has outlived may still come in the next answer, as long as after any other.
    if (begun < minute) {
      for (const [key, leased] of this.#leasedAt) if (leased >= begun) this.#leasedAt.set(key, minute);
    }
    return this.#isNothing;
  }

  /** Forgets keys that were last leased before `minute`, but not while a response is open that may have them. */
  forget(minute: number): boolean {
    const oldest = Math.min(minute, ...this.#open.values());
    const before = this.#leasedAt.size;
    for (const [key, leased] of this.#leasedAt) if (leased < oldest) this.#leasedAt.delete(key);
    if (this.#leasedAt.size < before) this.#renewGuard();
    return this.#isNothing;
  }

  get #isNothing(): boolean {
    return this.#open.size === 0 && this.#leasedAt.size === 0;
  }

  #oldest(except: readonly string[]): string {
    let oldest = { key: '', minute: Number.POSITIVE_INFINITY };
    for (const [key, minute] of this.#leasedAt) {
      if (minute < oldest.minute && !except.includes(key)) oldest = { key, minute };
    }
    return oldest.key;
  }

  #renewGuard(): void {
    const keys = [...this.#leasedAt.keys()];
    this.guard = keys.length === 0 ? undefined : EchoGuard.ofKeys(keys);
  }
}
