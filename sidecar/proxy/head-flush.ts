/** Longest that the head of an event stream waits for the first event. */
export const headFlushMs = 5;

/**
 * Begins an event stream with a comment when its first event is not there yet. `Bun.serve` keeps the end of the head back until
 * the first chunk of the body (oven-sh/bun#33660), and a client could not tell an open stream from a dead server. A comment is
 * nothing to a client (HTML standard, "Interpreting an event stream").
 */
export function flushHead(source: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const reader = source.getReader();
  let first: ReturnType<typeof reader.read> | undefined = reader.read();
  // Handled when it is awaited below.
  first.catch(() => {});
  let flushed = false;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (first !== undefined && !flushed) {
          flushed = true;
          if (!(await isReady(first))) return controller.enqueue(comment());
        }
        const { done, value } = await (first ?? reader.read());
        first = undefined;
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
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
