import { askSecondsMax } from '../contract/key-link.ts';
import type { LeaseResponse } from '../contract/lease.ts';
import { elicitationCompleteEvent } from '../mcp/answers.ts';
import type { OutgoingRequest } from '../proxy/exchange.ts';
import { credentialOf, type LeaseSource } from '../proxy/layers/identify.ts';
import { waitForKey } from './wait-for-key.ts';

/** A client that was asked to open the page (-32042). */
export interface AskedUrl {
  readonly elicitationId: string;
  /** The version of the key that the upstream has refused: the same one is no news. */
  readonly refusedVersion: number | undefined;
}

/** Sessions in which somebody was asked, and how often in one; the first are forgotten for the next. */
const sessionsMax = 4_096;
const askedMax = 8;
/** Sessions whose user is waited for at a time; more of them are not told, which a client must be able to bear. */
const waitingMax = 256;
/** How often the broker is asked all the same, in case a notice was missed. */
const pollMs = 30_000;

type Send = (event: Uint8Array) => boolean;

/**
 * Tells a client, on the stream of its session, that its user has been to the page (revision 2025-11-25, "Completion Notifications for
 * URL Mode Elicitation"): the key has come, so that the call can be made again. Revision 2026-07-28 has no such notification: there
 * the call itself waits.
 */
export class Completions {
  readonly #leases: LeaseSource;
  readonly #asked = new Map<string, readonly AskedUrl[]>();
  readonly #streams = new Map<string, Stream>();
  #waiting = 0;

  constructor(leases: LeaseSource) {
    this.#leases = leases;
  }

  /** `session` as its hash. Without one there is no stream to say it on. */
  asked(session: string | undefined, asked: AskedUrl): void {
    if (session === undefined) return;
    const before = this.#asked.get(session) ?? [];
    this.#asked.delete(session);
    const [oldest] = this.#asked.size >= sessionsMax ? this.#asked.keys() : [];
    if (oldest !== undefined) this.#asked.delete(oldest);
    this.#asked.set(session, [...before, asked].slice(-askedMax));
    const stream = this.#streams.get(session);
    if (stream !== undefined) void this.#tell(session, stream);
  }

  /** The stream of a session is open: `send` puts an event on it. Returns what to call when it has ended. */
  listen(request: OutgoingRequest, send: Send): () => void {
    const session = request.record.sessionIdHash;
    if (session === undefined || request.permission.subjectKey === undefined) return () => {};
    const stream: Stream = { request, send, ended: new AbortController(), isWaiting: false };
    this.#streams.set(session, stream);
    if (this.#asked.has(session)) void this.#tell(session, stream);
    return () => {
      stream.ended.abort();
      if (this.#streams.get(session) === stream) this.#streams.delete(session);
    };
  }

  /** Never rejects. */
  async #tell(session: string, stream: Stream): Promise<void> {
    if (stream.isWaiting || this.#waiting >= waitingMax) return;
    stream.isWaiting = true;
    this.#waiting += 1;
    try {
      const lease = await this.#wait(session, stream);
      if (lease?.decision === 'granted') this.#send(session, stream, lease.keyVersion);
      // Time is up: the link counts no longer.
      else if (!stream.ended.signal.aborted) this.#asked.delete(session);
    } finally {
      this.#waiting -= 1;
      stream.isWaiting = false;
    }
  }

  async #wait(session: string, { request, ended }: Stream): Promise<LeaseResponse | undefined> {
    const { subjectKey = '' } = request.permission;
    return waitForKey({
      leases: this.#leases,
      credential: credentialOf(request.headers),
      subjectKey,
      isEnough: (lease) => isFinal(lease) || (lease.decision === 'granted' && this.#isNews(session, lease.keyVersion)),
      msMax: askSecondsMax * 1_000,
      pollMs,
      signal: ended.signal,
    });
  }

  #isNews(session: string, version: number): boolean {
    return (this.#asked.get(session) ?? []).some(({ refusedVersion }) => refusedVersion !== version);
  }

  #send(session: string, { send, ended }: Stream, version: number): void {
    if (ended.signal.aborted) return;
    const all = this.#asked.get(session) ?? [];
    this.#asked.delete(session);
    for (const { elicitationId, refusedVersion } of all)
      if (refusedVersion !== version) send(elicitationCompleteEvent(elicitationId));
  }
}

interface Stream {
  readonly request: OutgoingRequest;
  readonly send: Send;
  readonly ended: AbortController;
  isWaiting: boolean;
}

/** Nothing that the user does at the page changes these. */
function isFinal({ decision }: LeaseResponse): boolean {
  return decision === 'denied' || decision === 'unauthenticated';
}
