import type { RequestId } from '../mcp/message.ts';
import type { RequestRecord } from './exchange.ts';
import { type Owned, type OwnedBounds, OwnedEntries } from './owned-entries.ts';
import { hashOf, newSessions, type Sessions, userOf } from './sessions.ts';

const taskBounds: OwnedBounds = { perUserMax: 1_024, allMax: 16_384 };
const askedBounds: OwnedBounds = { perUserMax: 256, allMax: 8_192 };

/** Longest id of a request of the server that is remembered. */
const askedIdCharsMax = 256;

/** What belongs to one user of a server: sessions, tasks, and the questions that the server has asked and the user may answer. */
export class Ownership {
  readonly sessions: Sessions;
  readonly #tasks = new OwnedEntries<Owned>(taskBounds);
  readonly #asked = new OwnedEntries<Owned>(askedBounds);

  constructor(sessions: Sessions = newSessions()) {
    this.sessions = sessions;
  }

  /** The server has asked the client something on a stream of this request. */
  ask(record: RequestRecord, id: RequestId): void {
    if (typeof id === 'string' && id.length > askedIdCharsMax) return;
    const owner = userOf(record.subject);
    this.#asked.set(questionOf(record, owner, id), { owner });
  }

  isAsked(record: RequestRecord, id: RequestId): boolean {
    return this.#asked.get(questionOf(record, userOf(record.subject), id)) !== undefined;
  }

  /** A question is answered once. */
  answer(record: RequestRecord, id: RequestId): void {
    this.#asked.delete(questionOf(record, userOf(record.subject), id));
  }

  /** Whether the user of this request may name the task: it is theirs, or nobody knows whose. */
  mayUseTask(record: RequestRecord, taskId: string): boolean {
    const task = this.#tasks.get(hashOf(taskId));
    return task === undefined || task.owner === userOf(record.subject);
  }

  /** The server has begun the task for this request, whoever had one of that id before. */
  beginTask(record: RequestRecord, taskId: string): void {
    this.#tasks.set(hashOf(taskId), { owner: userOf(record.subject) });
  }

  /** The server has let this request in with a task that may not be remembered, as after a restart of the sidecar alone. */
  useTask(record: RequestRecord, taskId: string): void {
    if (this.mayUseTask(record, taskId)) this.beginTask(record, taskId);
  }
}

/** Ids are unique within a session only, and `1` is not `"1"`. */
function questionOf({ sessionIdHash }: RequestRecord, user: string, id: RequestId): string {
  return JSON.stringify([sessionIdHash, user, id]);
}
