import type { LeasedHeader } from '../contract/lease.ts';
import { EchoGuard } from './echo-guard.ts';

/** What a body is guarded by: another one from one chunk to the next, where a stream outlives a key. */
export interface CurrentGuard {
  readonly current: EchoGuard | undefined;
}

/** The guard of a stream that stays open. */
export interface LiveGuard extends CurrentGuard {
  /** The stream has ended. */
  forget(): void;
}

/** The keys that are attached to requests, by lease; and by user for the streams that users keep open. */
export class UserGuards {
  readonly #ofLeases = new WeakMap<readonly LeasedHeader[], EchoGuard | 'none'>();
  readonly #streams = new Map<string, Set<{ current: EchoGuard | undefined }>>();

  /** The guard of a lease. What is open of its user learns a key that it does not know yet. */
  of(subjectKey: string, headers: readonly LeasedHeader[]): EchoGuard | undefined {
    const known = this.#ofLeases.get(headers);
    if (known !== undefined) return known === 'none' ? undefined : known;
    const guard = EchoGuard.of(headers);
    this.#ofLeases.set(headers, guard ?? 'none');
    if (guard === undefined) return undefined;
    for (const stream of this.#streams.get(subjectKey) ?? [])
      stream.current = stream.current?.withKeysOf(guard) ?? guard;
    return guard;
  }

  /** A server may send on a stream what it learned from another request of the same user, with a key of its own. */
  follow(subjectKey: string, first: EchoGuard | undefined): LiveGuard {
    const streams = this.#streams.get(subjectKey) ?? new Set();
    const live = {
      current: first,
      forget: () => {
        streams.delete(live);
        if (streams.size === 0 && this.#streams.get(subjectKey) === streams) this.#streams.delete(subjectKey);
      },
    };
    streams.add(live);
    this.#streams.set(subjectKey, streams);
    return live;
  }
}
