import type { Chunks } from './chunks.ts';

/** Longest that the head of an event stream waits for the first event. */
export const headFlushMs = 5;

/**
 * Begins an event stream with a comment when its first event is not there yet. `Bun.serve` keeps the end of the head back until
 * the first chunk of the body (oven-sh/bun#33660), and a client could not tell an open stream from a dead server. A comment is
 * nothing to a client (HTML standard, "Interpreting an event stream").
 */
export function flushHead(events: Chunks): Chunks {
  let first: Promise<Uint8Array | undefined> | undefined = events.read();
  // Handled where it is awaited.
  first.catch(() => {});
  let flushed = false;
  return {
    async read() {
      if (first === undefined) return events.read();
      if (!flushed) {
        flushed = true;
        if (!(await isReady(first))) return comment();
      }
      const awaited = first;
      first = undefined;
      return awaited;
    },
    cancel: () => events.cancel(),
  };
}

function comment(): Uint8Array {
  return new TextEncoder().encode(':\n');
}

async function isReady(first: Promise<unknown>): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), headFlushMs);
  });
  const ready = first.then(
    () => true,
    () => true,
  );
  const result = await Promise.race([ready, late]);
  clearTimeout(timer);
  return result;
}

/** A compressed stream has no place for a comment. */
export function isPlainEventStream(headers: Headers): boolean {
  const isEvents = headers.get('content-type')?.toLowerCase().startsWith('text/event-stream') === true;
  return isEvents && (headers.get('content-encoding') ?? 'identity') === 'identity';
}
