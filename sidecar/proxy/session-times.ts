import type { EndedSession, RequestRecord } from './exchange.ts';

/** Sessions whose times are remembered; beyond that, the longest unused goes uncounted. */
const sessionsMax = 16_384;

/** A session that nobody ends, as most clients do not, has ended when it was used last, so long ago. */
export const idleSessionMs = 3_600_000;

interface Times {
  readonly begunMs: number;
  usedMs: number;
  protocolVersion: string | undefined;
}

/** How long the sessions of one server last (revisions up to 2025-11-25). Those that begin before the proxy does are not known. */
export class SessionTimes {
  /** By hash, the longest unused first. */
  readonly #sessions = new Map<string, Times>();

  begin(key: string, record: RequestRecord): void {
    const { startedMs } = record;
    this.#sessions.delete(key);
    this.#forgetIdle(record);
    for (const oldest of this.#sessions.keys()) {
      if (this.#sessions.size < sessionsMax) break;
      this.#sessions.delete(oldest);
    }
    this.#sessions.set(key, { begunMs: startedMs, usedMs: startedMs, protocolVersion: undefined });
  }

  /** `protocolVersion`: what the client says it is; the first request of a session does not know it yet. */
  use(key: string, { startedMs }: RequestRecord, protocolVersion: string | undefined): void {
    const times = this.#sessions.get(key);
    if (times === undefined) return;
    times.usedMs = startedMs;
    times.protocolVersion = protocolVersion;
    this.#sessions.delete(key);
    this.#sessions.set(key, times);
  }

  /** The request has ended the session, or learned that it has ended. */
  end(key: string, record: RequestRecord, errorType: EndedSession['errorType']): void {
    const times = this.#sessions.get(key);
    if (times === undefined) return;
    this.#sessions.delete(key);
    const { begunMs, protocolVersion } = times;
    record.endedSessions = [
      ...(record.endedSessions ?? []),
      { begunMs, endedMs: undefined, protocolVersion, errorType },
    ];
  }

  #forgetIdle(record: RequestRecord): void {
    const before = record.startedMs - idleSessionMs;
    for (const [key, { begunMs, usedMs, protocolVersion }] of this.#sessions) {
      if (usedMs >= before) return;
      this.#sessions.delete(key);
      const ended = { begunMs, endedMs: usedMs, protocolVersion, errorType: undefined };
      record.endedSessions = [...(record.endedSessions ?? []), ended];
    }
  }
}
