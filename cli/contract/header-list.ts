/**
 * Header names and values as bytes: what a request carries to the operator and what an envelope holds. Never JSON, because values
 * must not become strings.
 *
 *     list  = version(1) = 0x01 | count(1) | entry * count
 *     entry = name length(1) | name | value length(2, big endian) | value
 */

export interface HeaderField {
  /** As the McpServer declares it. */
  readonly name: string;
  readonly value: Uint8Array;
}

export const headerListLimits = { headersMax: 16, nameBytesMax: 128, valueBytesMax: 8_192 } as const;

const listVersion = 1;
/** RFC 9110 section 5.6.2, `token`. */
const namePattern = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** A list that cannot be written, or bytes that are no list. The message names the rule and never a value. */
export class HeaderListError extends Error {
  readonly code = 'ERR_HEADER_LIST';

  constructor(rule: string) {
    super(`header list: ${rule}`);
    this.name = 'HeaderListError';
  }
}

export function headerListByteLength(fields: readonly HeaderField[]): number {
  return fields.reduce((sum, field) => sum + 3 + field.name.length + field.value.byteLength, 2);
}

/** Writes into `target` at `offset` and returns the offset after the list. */
export function writeHeaderList(fields: readonly HeaderField[], target: Buffer, offset: number): number {
  checkFields(fields);
  let at = target.writeUInt8(fields.length, target.writeUInt8(listVersion, offset));
  for (const { name, value } of fields) {
    at = target.writeUInt8(name.length, at);
    at += target.write(name, at, 'latin1');
    at = target.writeUInt16BE(value.byteLength, at);
    target.set(value, at);
    at += value.byteLength;
  }
  return at;
}

/**
 * Reads the list that `bytes` begins with. Values are views into `bytes`.
 * @throws HeaderListError
 */
export function readHeaderList(bytes: Buffer): { readonly fields: readonly HeaderField[]; readonly end: number } {
  const cursor = new Cursor(bytes);
  if (cursor.uint(1) !== listVersion) throw new HeaderListError('its version is not known');
  const count = cursor.uint(1);
  const fields: HeaderField[] = [];
  for (let index = 0; index < count; index += 1) {
    const name = cursor.take(cursor.uint(1)).toString('latin1');
    fields.push({ name, value: cursor.take(cursor.uint(2)) });
  }
  checkFields(fields);
  return { fields, end: cursor.offset };
}

class Cursor {
  offset = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  uint(length: 1 | 2): number {
    return this.take(length).readUIntBE(0, length);
  }

  take(length: number): Buffer {
    const end = this.offset + length;
    if (end > this.#bytes.byteLength) throw new HeaderListError('it ends too early');
    const part = this.#bytes.subarray(this.offset, end);
    this.offset = end;
    return part;
  }
}

function checkFields(fields: readonly HeaderField[]): void {
  if (fields.length > headerListLimits.headersMax) throw new HeaderListError('it has too many headers');
  const seen = new Set<string>();
  for (const { name, value } of fields) {
    if (name.length > headerListLimits.nameBytesMax || !namePattern.test(name)) {
      throw new HeaderListError('a name is not a header name');
    }
    if (value.byteLength > headerListLimits.valueBytesMax) throw new HeaderListError('a value is too long');
    if (seen.has(name.toLowerCase())) throw new HeaderListError('a name comes twice');
    seen.add(name.toLowerCase());
  }
}
