/** Memory for key bytes. What is said of V8 and Node was measured (`test/integration/envelope/memory.test.ts`). */

/**
 * A zeroed buffer that stays where it is. V8 keeps the bytes of small typed arrays (up to 64) in its own heap, `allocUnsafeSlow`
 * included, and its collector leaves copies behind when it moves them; the memory of an explicit ArrayBuffer is never moved.
 */
export function offHeapBuffer(length: number): Buffer {
  return Buffer.from(new ArrayBuffer(length));
}

const inHeapBytesMax = 64;
/** One block of the size just freed is the one that the allocator gives out next; more, for sizes that it splits and merges. */
const overwrittenBlocks = 4;

/**
 * Overwrites a block of `length` bytes that native code has freed right before without zeroing it. `allocUnsafeSlow` is the only
 * way to get uninitialised memory, that is, the same block. Best effort: the allocator promises nothing.
 */
export function overwriteFreedBlock(length: number): void {
  if (length <= inHeapBytesMax) return;
  const blocks = Array.from({ length: overwrittenBlocks }, () => Buffer.allocUnsafeSlow(length));
  for (const block of blocks) block.fill(0);
}
