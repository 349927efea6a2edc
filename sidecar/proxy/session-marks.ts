import { hash, timingSafeEqual } from 'node:crypto';
import type { ServerRef } from '../contract/lease.ts';

/** What a marked id says. */
export interface MarkedSession {
  /** As the server made it. */
  readonly id: string;
  /** As in `Session`. */
  readonly elicitsUrl: boolean;
}

/** A dot, whether the client opens URLs, and 16 bytes in base64url: visible ASCII, as the id itself. */
const markForm = /^([\x21-\x7e]+)\.([01])([A-Za-z0-9_-]{22})$/;
const macBytes = 16;

/**
 * Ids of sessions as clients know them: the server's own with a mark behind it that only the proxies of this server can make, for one
 * user each. Whoever sees the id later, another replica or one that began anew, tells whose it is from the id alone.
 */
export class SessionMarks {
  readonly #inner: Uint8Array;
  readonly #outer: Uint8Array;
  readonly #server: ServerRef;

  /** `sessionKey`: 32 bytes in base64url (`PolicySnapshot.sessionKey`). */
  constructor(sessionKey: string, server: ServerRef) {
    const key = Buffer.from(sessionKey, 'base64url');
    this.#inner = padded(key, 0x36);
    this.#outer = padded(key, 0x5c);
    this.#server = server;
  }

  /** `user` as `userOf` writes it. */
  mark(session: MarkedSession, user: string): string {
    return `${session.id}.${flagOf(session)}${this.#macOf(session, user).toString('base64url')}`;
  }

  /** Undefined for an id that is not of a session of this user at this server. */
  read(shown: string, user: string): MarkedSession | undefined {
    const [, id, flag, mac] = markForm.exec(shown) ?? [];
    if (id === undefined || mac === undefined) return undefined;
    const session = { id, elicitsUrl: flag === '1' };
    return timingSafeEqual(this.#macOf(session, user), Buffer.from(mac, 'base64url')) ? session : undefined;
  }

  #macOf(session: MarkedSession, user: string): Buffer {
    const { namespace, name } = this.#server;
    const said = JSON.stringify(['session v1', namespace, name, user, session.id, flagOf(session)]);
    // HMAC of RFC 2104 by hand: the runtime's own takes ten times as long for so little.
    const innerHash = hash('sha256', Buffer.concat([this.#inner, Buffer.from(said)]), 'buffer');
    return hash('sha256', Buffer.concat([this.#outer, innerHash]), 'buffer').subarray(0, macBytes);
  }
}

/** To a block of SHA-256. */
function padded(key: Buffer, pad: number): Uint8Array {
  return new Uint8Array(64).map((_, index) => pad ^ (key[index] ?? 0));
}

function flagOf({ elicitsUrl }: MarkedSession): '0' | '1' {
  return elicitsUrl ? '1' : '0';
}
