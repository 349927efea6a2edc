import type { Chunks } from '../proxy/chunks.ts';
import type { EchoGuard } from './echo-guard.ts';
import type { CurrentGuard } from './user-guards.ts';

export interface GuardChunksOptions {
  readonly guard: CurrentGuard;
  readonly onEcho: (echoes: number) => void;
  /** Called at least once, when nothing more will be read. */
  readonly onEnd?: () => void;
}

/** Masks keys in a body that comes bit by bit. Keeps back only what could be the beginning of a key, until it is one or is none. */
export function guardChunks(source: Chunks, { guard, onEcho, onEnd = () => {} }: GuardChunksOptions): Chunks {
  let held: Uint8Array = nothing;

  function mask(bytes: Uint8Array, by: EchoGuard, whole: boolean): Uint8Array {
    const masked = by.mask(bytes, whole);
    if (masked.echoes > 0) onEcho(masked.echoes);
    if (masked.holdFrom === bytes.byteLength || whole) {
      held = nothing;
      return masked.bytes;
    }
    // A beginning is never longer than the bound, but what is passed over inside of one can be.
    const from = Math.max(masked.holdFrom, bytes.byteLength - by.holdBytesMax);
    held = masked.bytes.slice(from);
    return masked.bytes.subarray(0, from);
  }

  function take(chunk: Uint8Array): Uint8Array {
    const by = guard.current;
    const bytes = held.byteLength === 0 ? chunk : joined(held, chunk);
    if (by !== undefined) return mask(bytes, by, false);
    held = nothing;
    return bytes;
  }

  function finish(): Uint8Array | undefined {
    const by = guard.current;
    onEnd();
    if (held.byteLength === 0) return undefined;
    return by === undefined ? held : mask(held, by, true);
  }

  return {
    async read() {
      try {
        for (let chunk = await source.read(); chunk !== undefined; chunk = await source.read()) {
          const bytes = take(chunk);
          if (bytes.byteLength > 0) return bytes;
        }
      } catch (error) {
        onEnd();
        throw error;
      }
      return finish();
    },
    cancel() {
      onEnd();
      source.cancel();
    },
  };
}

const nothing = new Uint8Array();

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.byteLength + second.byteLength);
  both.set(first);
  both.set(second, first.byteLength);
  return both;
}
