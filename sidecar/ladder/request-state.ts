import { Buffer } from 'node:buffer';
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { ifPresent, present, readInteger, readObject, readText } from '../contract/fields.ts';
import type { ServerRef } from '../contract/lease.ts';

/**
 * What a client keeps for us between an `input_required` and its retry (MCP 2026-07-28, "Multi Round-Trip Requests"). The client may
 * be an attacker's, and the retry may reach another pod: so it is sealed, with a key that every proxy of the server has.
 */
export interface RequestState {
  /** Milliseconds since 1970. */
  readonly endsAtMs: number;
  /** The user who was asked, as in their lease. */
  readonly subjectKey: string;
  /** Of method and params (`digestOf`). */
  readonly digest: string;
  /** How often the client was asked in this call. */
  readonly rounds: number;
  /** The version of the key that the upstream has refused in this call: it is not sent again. */
  readonly refusedVersion?: number;
  /** JSON of what the upstream had the client keep or answer, put back when the call goes on. */
  readonly theirs?: Theirs;
}

export interface Theirs {
  /** A JSON string. */
  readonly requestState?: string;
  /** A JSON object. */
  readonly inputResponses?: string;
}

/** Longest state in UTF-16 units: what the upstream gave the client is in it. */
export const stateCharsMax = 65_536;

const prefix = 'mk1.';
const ivBytes = 12;
const tagBytes = 16;

/** Seals and opens the states of one server. `mk1.<key id>.<base64url of IV, ciphertext and tag>`, AES-256-GCM. */
export class RequestStateSealer {
  /** Begins every state of this server, and is the name of our input request: nobody else's is taken for ours. */
  readonly marker: string;
  /** The same in bytes, to look for in a body. */
  readonly markerBytes: Buffer;
  readonly #key: Buffer;
  readonly #aad: Buffer;

  constructor(stateKey: string, { namespace, name }: ServerRef) {
    const secret = Buffer.from(stateKey, 'base64url');
    this.#key = derive(secret, 'request state v1');
    this.#aad = Buffer.from(`${namespace}/${name}`);
    this.marker = prefix + derive(secret, 'key id v1').subarray(0, 9).toString('base64url');
    this.markerBytes = Buffer.from(this.marker);
  }

  seal(state: RequestState): string {
    const iv = randomBytes(ivBytes);
    const cipher = createCipheriv('aes-256-gcm', this.#key, iv).setAAD(this.#aad);
    const sealed = [iv, cipher.update(JSON.stringify(state)), cipher.final(), cipher.getAuthTag()];
    return `${this.marker}.${Buffer.concat(sealed).toString('base64url')}`;
  }

  isOurs(text: unknown): text is string {
    return typeof text === 'string' && text.startsWith(`${this.marker}.`);
  }

  /** `undefined` for whatever `seal` of this server did not write. */
  open(text: string): RequestState | undefined {
    const bytes = Buffer.from(text.slice(this.marker.length + 1), 'base64url');
    if (bytes.byteLength <= ivBytes + tagBytes) return undefined;
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#key, bytes.subarray(0, ivBytes), {
        authTagLength: tagBytes,
      });
      decipher.setAAD(this.#aad).setAuthTag(bytes.subarray(-tagBytes));
      const plain = Buffer.concat([decipher.update(bytes.subarray(ivBytes, -tagBytes)), decipher.final()]);
      return parse(JSON.parse(plain.toString('utf8')));
    } catch {
      return undefined;
    }
  }
}

function derive(secret: Buffer, purpose: string): Buffer {
  return createHmac('sha256', secret).update(`mcp-keyring ${purpose}`).digest();
}

/** An older or newer proxy may have written it. */
function parse(value: unknown): RequestState {
  const state = readObject(value, 'state');
  const count = { min: 0, max: Number.MAX_SAFE_INTEGER };
  return present({
    endsAtMs: readInteger(state['endsAtMs'], 'state.endsAtMs', count),
    subjectKey: readText(state['subjectKey'], 'state.subjectKey', { charsMax: 128 }),
    digest: readText(state['digest'], 'state.digest', { charsMax: 64 }),
    rounds: readInteger(state['rounds'], 'state.rounds', count),
    refusedVersion: ifPresent(state['refusedVersion'], (found) => readInteger(found, 'state.refusedVersion', count)),
    theirs: ifPresent(state['theirs'], parseTheirs),
  });
}

function parseTheirs(value: unknown): Theirs {
  const theirs = readObject(value, 'state.theirs');
  const json = (field: string): string | undefined =>
    ifPresent(theirs[field], (found) => readText(found, `state.theirs.${field}`, { charsMax: stateCharsMax }));
  return present({ requestState: json('requestState'), inputResponses: json('inputResponses') });
}
