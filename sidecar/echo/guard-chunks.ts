import type { Chunks } from '../proxy/chunks.ts';
import type { EchoGuard } from './echo-guard.ts';

/** Masks keys in a body that comes bit by bit. Keeps back only what could be the beginning of a key, until it is one or is none. */
export function guardChunks(source: Chunks, guard: EchoGuard, onEcho: (echoes: number) => void): Chunks {
  let held: Uint8Array = nothing;

  function take(chunk: Uint8Array): Uint8Array {
    const { bytes, echoes, holdFrom } = guard.mask(held.byteLength === 0 ? chunk : joined(held, chunk), false);
    if (echoes > 0) onEcho(echoes);
    if (holdFrom === bytes.byteLength) {
      held = nothing;
      return bytes;
    }
    // A beginning is never longer than the bound, but what is passed over inside of one can be.
    const from = Math.max(holdFrom, bytes.byteLength - guard.holdBytesMax);
    held = bytes.slice(from);
    return bytes.subarray(0, from);
  }

  function finish(): Uint8Array | undefined {
    if (held.byteLength === 0) return undefined;
    const { bytes, echoes } = guard.mask(held, true);
    if (echoes > 0) onEcho(echoes);
    held = nothing;
    return bytes;
  }

  return {
    async read() {
      for (let chunk = await source.read(); chunk !== undefined; chunk = await source.read()) {
        const bytes = take(chunk);
        if (bytes.byteLength > 0) return bytes;
      }
      return finish();
    },
    cancel: () => source.cancel(),
  };
}

const nothing = new Uint8Array();

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.byteLength + second.byteLength);
  both.set(first);
  both.set(second, first.byteLength);
  return both;
}
