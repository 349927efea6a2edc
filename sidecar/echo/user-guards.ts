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

/** Most keys of one user, unless one lease has more; the longest unused is forgotten for the next. */
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
    keys.begin(this.#minute);
    return new OpenResponse(this, { user, keys, begunMinute: this.#minute });
  }

  /** @internal For `OpenResponse` alone. */
  ended({ user, keys, begunMinute }: Opened): void {
    if (keys.end(begunMinute, this.#minute) && this.#users.get(user) === keys) this.#delete(user);
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

interface Opened {
  readonly user: string;
  readonly keys: UserKeys;
  readonly begunMinute: number;
}

class OpenResponse implements ResponseGuard {
  readonly #guards: UserGuards;
  readonly #opened: Opened;
  #isOpen = true;

  constructor(guards: UserGuards, opened: Opened) {
    this.#guards = guards;
    this.#opened = opened;
  }

  get current(): EchoGuard | undefined {
    return this.#opened.keys.guard;
  }

  end(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#guards.ended(this.#opened);
  }
}

interface RememberedKey {
  readonly key: string;
  /** In which it was last leased. */
  minute: number;
}

/** Lists and no maps: there is one of these for each user, with one key nearly always. */
class UserKeys {
  readonly #keys: RememberedKey[] = [];
  /** The minute in which each response that is under way began. */
  readonly #open: number[] = [];
  guard: EchoGuard | undefined;

  get isOpen(): boolean {
    return this.#open.length > 0;
  }

  learn(keys: readonly string[], minute: number): void {
    let isNew = false;
    for (const key of keys) {
      const known = this.#keys.find((remembered) => remembered.key === key);
      if (known === undefined) this.#keys.push({ key, minute });
      else known.minute = minute;
      isNew ||= known === undefined;
    }
    if (!isNew) return;
    while (this.#keys.length > keysMax && this.#forgetOldest(keys));
    this.#renewGuard();
  }

  begin(minute: number): void {
    this.#open.push(minute);
  }

  /** Returns whether nothing is left to remember. */
  end(begunMinute: number, minute: number): boolean {
    // Which of those that began in one minute does not matter.
    const last = this.#open.pop();
    if (last !== undefined && last !== begunMinute) this.#open[this.#open.indexOf(begunMinute)] = last;
    // What it has outlived may still come in the next answer, as long as after any other.
    if (begunMinute < minute) {
      for (const remembered of this.#keys) if (remembered.minute >= begunMinute) remembered.minute = minute;
    }
    return this.#isNothing;
  }

  /** Forgets keys that were last leased before `minute`, but not while a response is open that may have them. */
  forget(minute: number): boolean {
    const oldest = this.#open.reduce((first, begun) => Math.min(first, begun), minute);
    const before = this.#keys.length;
    this.#keep((remembered) => remembered.minute >= oldest);
    if (this.#keys.length < before) this.#renewGuard();
    return this.#isNothing;
  }

  get #isNothing(): boolean {
    return this.#open.length === 0 && this.#keys.length === 0;
  }

  /** Returns whether there was one. */
  #forgetOldest(except: readonly string[]): boolean {
    let oldest: RememberedKey | undefined;
    for (const remembered of this.#keys) {
      if (remembered.minute < (oldest?.minute ?? Infinity) && !except.includes(remembered.key)) oldest = remembered;
    }
    this.#keep((remembered) => remembered !== oldest);
    return oldest !== undefined;
  }

  #keep(isKept: (remembered: RememberedKey) => boolean): void {
    this.#keys.splice(0, Infinity, ...this.#keys.filter(isKept));
  }

  #renewGuard(): void {
    this.guard = this.#keys.length === 0 ? undefined : EchoGuard.ofKeys(this.#keys.map(({ key }) => key));
  }
}
