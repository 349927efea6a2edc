import { randomBytes } from 'node:crypto';

// Of this process alone, so that nobody can make keys that collide.
const seed = randomBytes(4).readInt32LE();
const multiplier = randomBytes(4).readInt32LE() | 1;

export const emptyHash = seed;

/** The hash of some bytes and one more. Mixing after each keeps it from being a polynomial, whose collisions need no secret. */
export function hashByte(hash: number, byte: number): number {
  const mixed = Math.imul(hash ^ byte, multiplier);
  return mixed ^ (mixed >>> 15);
}
