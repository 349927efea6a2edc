/**
 * A response body on its way through the layers: bytes that are handed on as they come, when they are asked for. What a web stream
 * is without its queues and controllers, of which every layer would add one set.
 */
export interface Chunks {
  /** The next bytes; `undefined` after the last ones. Rejects when the upstream broke off. */
  read(): Promise<Uint8Array | undefined>;
  /** Lets go of the upstream. A read that waits resolves `undefined`. */
  cancel(): void;
  /** Ends as soon as nobody waits for anything that is still to come; absent where that is at once. */
  endSoon?(): void;
}

/** The same chunks; calls `ended` when nobody reads on: behind the last one, at a failure, or when they are let go of. */
export function tellingEnd(source: Chunks, ended: () => void): Chunks {
  return {
    async read() {
      try {
        const chunk = await source.read();
        if (chunk === undefined) ended();
        return chunk;
      } catch (error) {
        ended();
        throw error;
      }
    },
    cancel() {
      ended();
      source.cancel();
    },
  };
}

/** Reads a web stream. */
export function chunksOf(stream: ReadableStream<Uint8Array>): Chunks {
  const reader = stream.getReader();
  return {
    async read() {
      const { done, value } = await reader.read();
      return done ? undefined : value;
    },
    cancel() {
      // The connection is gone either way.
      reader.cancel().catch(() => {});
    },
  };
}

/** A web stream that takes a chunk only when it is read: a slow client slows the upstream down. */
export function streamOf(chunks: Chunks): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const chunk = await chunks.read();
        if (chunk === undefined) controller.close();
        else controller.enqueue(chunk);
      },
      cancel: () => chunks.cancel(),
    },
    { highWaterMark: 0 },
  );
}
