import type { Chunks } from './chunks.ts';
import type { ProxyResponse } from './exchange.ts';

/**
 * Takes the first chunk of a response whose length is known: it is nearly always all of it, and then needs no stream, which costs a
 * third of a request. Nothing waits for it, as the library keeps the head back until the first chunk anyway. Rejects when the
 * upstream breaks off before the first byte, so that the client still gets an error it can read.
 */
export async function wholeIfSmall(body: Chunks, declaredBytes: number): Promise<NonNullable<ProxyResponse['body']>> {
  const first = await body.read();
  if (first === undefined) return new Uint8Array();
  return first.byteLength === declaredBytes ? first : continued(first, body);
}

function continued(first: Uint8Array, rest: Chunks): Chunks {
  let held: Uint8Array | undefined = first;
  return {
    async read() {
      if (held === undefined) return rest.read();
      const chunk = held;
      held = undefined;
      return chunk;
    },
    cancel: () => rest.cancel(),
  };
}
