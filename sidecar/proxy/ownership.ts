import type { ServerRef } from '../contract/lease.ts';
import type { RequestId } from '../mcp/message.ts';
import type { RequestRecord } from './exchange.ts';
import { type Owned, type OwnedBounds, OwnedEntries } from './owned-entries.ts';
import { hashOf, type Session, ownerOf } from './sessions.ts';

export const sessionBounds: OwnedBounds = { perUserMax: 1_024, allMax: 16_384 };
const taskBounds: OwnedBounds = { perUserMax: 1_024, allMax: 16_384 };
const askedBounds: OwnedBounds = { perUserMax: 256, allMax: 8_192 };

/** Longest id of a request of the server that is remembered. */
const askedIdCharsMax = 256;

/**
 * What is remembered of all servers of one proxy: one bound for all, and it outlasts a server that is closed because nobody used it.
 * Ids are kept as hashes, as they are credentials to some servers.
 */
export class Belongings {
  readonly sessions = new OwnedEntries<Session>(sessionBounds);
  readonly tasks = new OwnedEntries<Owned>(taskBounds);
  readonly asked = new OwnedEntries<Owned>(askedBounds);
  readonly sees: 'all' | 'part';

  /** `part`: other replicas of this proxy may have begun what this one has not seen. */
  constructor(sees: 'all' | 'part' = 'all') {
    this.sees = sees;
  }
}

/** What belongs to one user of a server: sessions, tasks, and the questions that the server has asked and the user may answer. */
export class Ownership {
  readonly #all: Belongings;
  /** In front of every key. */
  readonly #server: string;

  constructor(all: Belongings, { namespace, name }: ServerRef) {
    this.#all = all;
    this.#server = `${namespace}/${name} `;
  }

  session(idHash: string): Session | undefined {
    return this.#all.sessions.get(this.#server + idHash);
  }

  /** From now on the session is this one, whoever had it before. Also marks it as used. */
  setSession(idHash: string, session: Session): void {
    this.#all.sessions.set(this.#server + idHash, session);
  }

  endSession(idHash: string): void {
    this.#all.sessions.delete(this.#server + idHash);
  }

  /** The server has asked the client something on a stream of this request. */
  ask(record: RequestRecord, id: RequestId): void {
    if (typeof id === 'string' && id.length > askedIdCharsMax) return;
    const owner = ownerOf(record);
    this.#all.asked.set(this.#questionOf(record, owner, id), { owner });
  }

  isAsked(record: RequestRecord, id: RequestId): boolean {
    if (this.#all.sees === 'part') return true;
    return this.#all.asked.get(this.#questionOf(record, ownerOf(record), id)) !== undefined;
  }

  /** A question is answered once. */
  answer(record: RequestRecord, id: RequestId): void {
    this.#all.asked.delete(this.#questionOf(record, ownerOf(record), id));
  }

  /** Whether what is told of a task may be for this user: it is theirs, or nobody knows whose. */
  mayUseTask(record: RequestRecord, taskId: string): boolean {
    const task = this.#all.tasks.get(this.#server + hashOf(taskId));
    return task === undefined || task.owner === ownerOf(record);
  }

  /** Whether the task is known, and this user's. */
  ownsTask(record: RequestRecord, taskId: string): boolean {
    return this.#all.tasks.get(this.#server + hashOf(taskId))?.owner === ownerOf(record);
  }

  /** The server has begun the task for this request, whoever had one of that id before. */
  beginTask(record: RequestRecord, taskId: string): void {
    this.#all.tasks.set(this.#server + hashOf(taskId), { owner: ownerOf(record) });
  }

  /** Puts off that it is forgotten. */
  useTask(record: RequestRecord, taskId: string): void {
    if (this.ownsTask(record, taskId)) this.beginTask(record, taskId);
  }

  /** Ids are unique within a session only, and `1` is not `"1"`. */
  #questionOf({ sessionIdHash }: RequestRecord, user: string, id: RequestId): string {
    return this.#server + JSON.stringify([sessionIdHash, user, id]);
  }
}
