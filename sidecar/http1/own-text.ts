import { Buffer } from 'node:buffer';

/**
 * A copy of a field's name or value for what outlives its request. Part of a text keeps all of it in memory, here a head of up to 16 KiB;
 * so do joined texts, and copies made by other means than bytes.
 */
export function ownText(field: string): string {
  return Buffer.from(field, 'latin1').toString('latin1');
}
