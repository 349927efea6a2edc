import { EnvelopeError } from './errors.ts';

/** Typed reads of one untrusted JSON object; only own fields count. */
export class Fields {
  readonly #values: ReadonlyMap<string, unknown>;

  private constructor(values: ReadonlyMap<string, unknown>) {
    this.#values = values;
  }

  static of(value: unknown): Fields {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new EnvelopeError('ERR_ENVELOPE_HEADER_MALFORMED');
    }
    return new Fields(new Map(Object.entries(value)));
  }

  names(): readonly string[] {
    return [...this.#values.keys()];
  }

  raw(name: string): unknown {
    return this.#values.get(name);
  }

  text(name: string): string {
    const value = this.#values.get(name);
    if (typeof value !== 'string' || value === '' || !value.isWellFormed()) {
      throw new EnvelopeError('ERR_ENVELOPE_HEADER_MALFORMED');
    }
    return value;
  }

  /** Refuses any field beyond `required` and `optional`, and the lack of a required one. */
  only(required: readonly string[], optional: readonly string[] = []): void {
    const known = new Set([...required, ...optional]);
    if (this.names().some((name) => !known.has(name))) throw new EnvelopeError('ERR_ENVELOPE_FIELD_UNKNOWN');
    if (required.some((name) => !this.#values.has(name))) throw new EnvelopeError('ERR_ENVELOPE_HEADER_MALFORMED');
  }
}

/** Standard base64 with padding, in its only canonical form. */
export function readBase64(text: string, expected: { readonly bytes: number } | { readonly bytesMax: number }): Buffer {
  const bytes = Buffer.from(text, 'base64');
  const fits = 'bytes' in expected ? bytes.byteLength === expected.bytes : bytes.byteLength <= expected.bytesMax;
  if (!fits || bytes.toString('base64') !== text) throw new EnvelopeError('ERR_ENVELOPE_HEADER_MALFORMED');
  return bytes;
}
