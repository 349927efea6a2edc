import { Buffer } from 'node:buffer';

/** `text` cut at places that `cuts` name, taken modulo its length. */
export function pieces(text: string, cuts: readonly number[]): readonly Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (text.length + 1)))].sort((a, b) => a - b);
  return [0, ...places].map((start, index) => Buffer.from(text.slice(start, places[index] ?? text.length), 'latin1'));
}
