// `ignoreBOM` keeps a mark in the text, where it is what it is.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const quote = 0x22;
const zero = 0x30;
const nine = 0x39;
/** Digits that make an integer which is exact all the way. */
const plainDigitsMax = 9;

/** JSON in valid UTF-8, of which only the parts that are looked at are ever made values. */
export class JsonText {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** The value that is written there. */
  value(start: number, end: number): unknown {
    // Ids are nearly always such numbers.
    const digits = end - start <= plainDigitsMax ? this.#readDigits(start, end) : undefined;
    if (digits !== undefined) return digits;
    const text = decoder.decode(this.bytes.subarray(start, end));
    return this.bytes[start] === quote && !text.includes('\\') ? text.slice(1, -1) : JSON.parse(text);
  }

  /** Whether what is written there is this text, to the byte. */
  isWritten(start: number, end: number, text: string): boolean {
    if (end - start !== text.length) return false;
    for (let index = 0; index < text.length; index += 1) {
      if (this.bytes[start + index] !== text.charCodeAt(index)) return false;
    }
    return true;
  }

  #readDigits(start: number, end: number): number | undefined {
    let value = 0;
    for (let at = start; at < end; at += 1) {
      const byte = this.bytes[at] ?? 0;
      if (byte < zero || byte > nine) return undefined;
      value = value * 10 + byte - zero;
    }
    return value;
  }
}
