import { Buffer } from 'node:buffer';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { ownText } from '#sidecar/http1/own-text.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** What 200 parts of texts of 200 KB take when the texts are gone. */
function heldBytes(keep: (part: string) => string): number {
  collect();
  const before = process.memoryUsage();
  const kept: string[] = [];
  for (let text = 0; text < 200; text += 1) {
    kept.push(keep(Buffer.alloc(200_000, `part ${text} of a text, `).toString('latin1').slice(7, 47)));
  }
  collect();
  const after = process.memoryUsage();
  expect(kept).toHaveLength(200);
  return after.heapUsed + after.external - before.heapUsed - before.external;
}

test('a part of a text that is kept by itself does not keep the text', () => {
  expect(heldBytes((part) => part)).toBeGreaterThan(20_000_000);
  expect(heldBytes(ownText)).toBeLessThan(15_000_000);
  expect(ownText('X-A: \xe9')).toBe('X-A: \xe9');
});
