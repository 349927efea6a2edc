import { SecretBytes } from '#operator/envelope/secret-bytes.ts';
import type { Secret } from '#operator/kube/resources.ts';

import { decodeBase64, encodeBase64 } from './base64-bytes.ts';
import { KeyStoreError } from './errors.ts';

/**
 * A Secret with key material, between the bytes of the API and owned bytes. `JSON.parse` would make strings of the values, and a
 * string stays in memory until it is collected and overwritten.
 */
export interface RawSecret extends Disposable {
  /** Everything but the values. */
  readonly object: Secret;
  readonly data: ReadonlyMap<string, SecretBytes>;
}

export const rawSecretEntriesMax = 256;

const quote = 0x22;
const backslash = 0x5c;
const opening: ReadonlySet<number> = new Set(Buffer.from('{['));
const closing: ReadonlySet<number> = new Set(Buffer.from('}]'));
const blank: ReadonlySet<number> = new Set(Buffer.from(' \t\r\n'));
const [colon, comma, brace] = [0x3a, 0x2c, 0x7d];

/** `json` stays the caller's to zero. @throws KeyStoreError `KeyMaterialMalformed` */
export function parseRawSecret(json: Buffer): RawSecret {
  const data = new Map<string, SecretBytes>();
  const dispose = (): void => data.forEach((value) => value[Symbol.dispose]());
  try {
    const start = dataStart(json);
    const end = start === undefined ? undefined : readEntries(new Scanner(json, start + 1), data);
    const rest =
      start === undefined || end === undefined
        ? json.toString()
        : `${json.subarray(0, start).toString()}{}${json.subarray(end).toString()}`;
    const object: unknown = JSON.parse(rest);
    if (!isSecret(object)) throw malformed();
    return { object, data, [Symbol.dispose]: dispose };
  } catch {
    dispose();
    throw malformed();
  }
}

/** The body that replaces `object.data` by `data`. The caller zeroes it. */
export function writeRawSecret(object: Secret, data: ReadonlyMap<string, Uint8Array>): SecretBytes {
  const { data: _none, ...rest } = object;
  const head = Buffer.from(`${JSON.stringify(rest).slice(0, -1)},"data":{`);
  const entries = [...data].map(([name, value], index) => {
    const encoded = SecretBytes.takeFrom(encodeBase64(value));
    return { name: Buffer.from(`${index === 0 ? '' : ','}${JSON.stringify(name)}:"`), encoded };
  });
  const length = entries.reduce((sum, { name, encoded }) => sum + name.byteLength + encoded.byteLength + 1, 0);
  const body = SecretBytes.alloc(head.byteLength + length + 2);
  let at = head.copy(body.bytes);
  for (const { name, encoded } of entries) {
    at += name.copy(body.bytes, at);
    at += encoded.bytes.copy(body.bytes, at);
    at = body.bytes.writeUInt8(quote, at);
    encoded[Symbol.dispose]();
  }
  body.bytes.write('}}', at);
  return body;
}

/** Offset of the `{` of the top-level field `data`. */
function dataStart(json: Buffer): number | undefined {
  const scanner = new Scanner(json, 0);
  let depth = 0;
  while (!scanner.atEnd) {
    const byte = scanner.peek();
    if (byte === quote) {
      const text = scanner.string();
      if (depth !== 1 || text.toString() !== 'data' || scanner.skipBlanks() !== colon) continue;
      scanner.take(colon);
      return scanner.skipBlanks() === 0x7b ? scanner.offset : undefined;
    }
    if (opening.has(byte)) depth += 1;
    if (closing.has(byte)) depth -= 1;
    scanner.take(byte);
  }
  return undefined;
}

/** Reads `"name":"base64",…}` and returns the offset after the brace. */
function readEntries(scanner: Scanner, into: Map<string, SecretBytes>): number {
  while (scanner.skipBlanks() !== brace) {
    if (into.size === rawSecretEntriesMax) throw malformed();
    if (into.size > 0) scanner.take(comma);
    scanner.skipBlanks();
    const name = scanner.string().toString();
    scanner.skipBlanks();
    scanner.take(colon);
    scanner.skipBlanks();
    const value = decodeBase64(scanner.string());
    if (value === undefined) throw malformed();
    into.get(name)?.[Symbol.dispose]();
    into.set(name, value);
  }
  scanner.take(brace);
  return scanner.offset;
}

class Scanner {
  offset: number;
  readonly #json: Buffer;

  constructor(json: Buffer, offset: number) {
    this.#json = json;
    this.offset = offset;
  }

  get atEnd(): boolean {
    return this.offset >= this.#json.byteLength;
  }

  peek(): number {
    if (this.atEnd) throw malformed();
    return this.#json.readUInt8(this.offset);
  }

  take(expected: number): void {
    if (this.peek() !== expected) throw malformed();
    this.offset += 1;
  }

  /** Moves to the next byte that is no blank and returns it. */
  skipBlanks(): number {
    while (blank.has(this.peek())) this.offset += 1;
    return this.peek();
  }

  /** The bytes between the quotes, escapes and all; base64 and names of entries have none. */
  string(): Buffer {
    this.take(quote);
    const start = this.offset;
    while (this.peek() !== quote) this.offset += this.peek() === backslash ? 2 : 1;
    this.offset += 1;
    return this.#json.subarray(start, this.offset - 1);
  }
}

function isSecret(value: unknown): value is Secret {
  return typeof value === 'object' && value !== null && 'metadata' in value && typeof value.metadata === 'object';
}

function malformed(): KeyStoreError {
  return new KeyStoreError('KeyMaterialMalformed');
}
