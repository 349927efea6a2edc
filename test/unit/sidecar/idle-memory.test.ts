import { describe, expect, test } from 'vitest';
import { IdleMemory } from '#sidecar/idle-memory.ts';

/** Processor time between looks, in ms, and after which of them memory is collected. */
function collections(...workMs: readonly number[]): readonly number[] {
  let cpuSeconds = 1;
  let look = 0;
  const collected: number[] = [];
  const memory = new IdleMemory({
    cpuSeconds: () => cpuSeconds,
    collect: () => {
      collected.push(look);
      // Collecting takes time itself.
      cpuSeconds += 0.1;
    },
  });
  for (const ms of workMs) {
    cpuSeconds += ms / 1_000;
    memory.tick();
    look += 1;
  }
  return collected;
}

describe('memory', () => {
  test('is given back once when work has ended, and again when more has', () => {
    expect(collections(900, 900, 3, 3, 3, 900, 3)).toEqual([2, 6]);
  });

  test('is not looked at while there is work, nor when there was none', () => {
    expect(collections(900, 900, 900)).toEqual([]);
    expect(collections(3, 3, 3)).toEqual([]);
  });
});
