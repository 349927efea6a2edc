import type { ProxyResponse } from './exchange.ts';

/**
 * Takes the first chunk of a response whose length is known: it is nearly always all of it, and then needs no stream, which costs a
 * third of a request. Nothing waits for it, as the library keeps the head back until the first chunk anyway. Rejects when the
 * upstream breaks off before the first byte, so that the client still gets an error it can read.
 */
export async function wholeIfSmall(
  body: ReadableStream<Uint8Array>,
  declaredBytes: number,
): Promise<NonNullable<ProxyResponse['body']>> {
  const reader = body.getReader();
  const { done, value } = await reader.read();
  if (done) return new Uint8Array();
  return value.byteLength === declaredBytes ? value : continued(value, reader);
}

/** What Node's and Bun's readers have in common. */
interface ChunkReader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>;
  cancel(reason?: unknown): Promise<void>;
}

/** The stream that `reader` is in the middle of, from its first chunk. */
function continued(first: Uint8Array, reader: ChunkReader): ReadableStream<Uint8Array> {
  let held: Uint8Array | undefined = first;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (held !== undefined) {
          controller.enqueue(held);
          held = undefined;
          return;
        }
        const { done, value } = await reader.read();
        if (done || value === undefined) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}
