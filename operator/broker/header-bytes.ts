import { headerValueBytesMax } from '#contract/headers.ts';

const placeholder = '{value}';
const quote = 0x22;
const backslash = 0x5c;

/** A template cut at its placeholder. The two parts are the administrator's; only what goes between is secret. */
export interface SplitTemplate {
  readonly before: Buffer;
  readonly after: Buffer;
}

/** Undefined when the template has not exactly one `{value}`. */
export function splitTemplate(template: string): SplitTemplate | undefined {
  const [before, after, ...more] = template.split(placeholder);
  if (before === undefined || after === undefined || more.length > 0) return undefined;
  return { before: Buffer.from(before, 'utf8'), after: Buffer.from(after, 'utf8') };
}

/**
 * Whether a field value may be made of it: visible ASCII and spaces (RFC 9110 section 5.5, without `obs-text` and tabs, which
 * servers disagree about), and not too long. Line ends in particular would end the header.
 */
export function isFieldValue({ before, after }: SplitTemplate, value: Uint8Array): boolean {
  if (value.byteLength === 0 || before.byteLength + value.byteLength + after.byteLength > headerValueBytesMax)
    return false;
  return [before, value, after].every((part) => part.every((byte) => byte >= 0x20 && byte <= 0x7e));
}

/** Length of `bytes` inside a JSON string. They are field value bytes, so only two of them are escaped (RFC 8259 section 7). */
export function jsonLength(bytes: Uint8Array): number {
  let length = bytes.byteLength;
  for (const byte of bytes) if (byte === quote || byte === backslash) length += 1;
  return length;
}

/** Writes `bytes` as the inside of a JSON string and returns the offset after it. No string is made. */
export function writeJson(bytes: Uint8Array, target: Buffer, offset: number): number {
  let at = offset;
  for (const byte of bytes) {
    if (byte === quote || byte === backslash) at = target.writeUInt8(backslash, at);
    at = target.writeUInt8(byte, at);
  }
  return at;
}
