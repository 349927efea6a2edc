import { randomFillSync } from 'node:crypto';

/** Fills its argument with random bytes. Injected, so that published vectors can be made. */
export type Randomness = (target: Uint8Array) => void;

export const systemRandomness: Randomness = (target) => {
  randomFillSync(target);
};
