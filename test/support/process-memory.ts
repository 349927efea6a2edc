import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

/** Looks for bytes in the memory of another process, as somebody who got a core dump of it would. Linux, same user or root. */

/** Bytes read at a time; searches overlap by the length of what is looked for. */
const windowBytes = 4 * 1024 * 1024;

export interface MemoryHit {
  readonly address: bigint;
  /** What is mapped there: `[heap]`, `[stack]`, a file, or nothing for anonymous memory. */
  readonly mapping: string;
}

interface Mapping {
  readonly start: bigint;
  readonly end: bigint;
  readonly name: string;
}

/** Every place in the writable memory of process `pid` that holds `needle`. The process should be idle meanwhile. */
export function findInMemory(pid: number, needle: Uint8Array): readonly MemoryHit[] {
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  try {
    return writableMappings(pid).flatMap((mapping) => hitsIn(memory, mapping, needle));
  } finally {
    closeSync(memory);
  }
}

function writableMappings(pid: number): readonly Mapping[] {
  return readFileSync(`/proc/${pid}/maps`, 'utf8')
    .trimEnd()
    .split('\n')
    .flatMap((line) => {
      const [, start, end, access, name] = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+\s*(.*)$/.exec(line) ?? [];
      const isWritable = access?.startsWith('rw') === true && name !== '[vvar]';
      return isWritable ? [{ start: BigInt(`0x${start}`), end: BigInt(`0x${end}`), name: name ?? '' }] : [];
    });
}

function hitsIn(memory: number, { start, end, name }: Mapping, needle: Uint8Array): readonly MemoryHit[] {
  const hits: MemoryHit[] = [];
  const window = Buffer.alloc(windowBytes);
  const stepBytes = BigInt(windowBytes - needle.byteLength + 1);
  for (let at = start; at < end; at += stepBytes) {
    const wanted = end - at < BigInt(windowBytes) ? Number(end - at) : windowBytes;
    const part = window.subarray(0, readPart(memory, window.subarray(0, wanted), at));
    for (let index = part.indexOf(needle); index >= 0; index = part.indexOf(needle, index + 1)) {
      hits.push({ address: at + BigInt(index), mapping: name });
    }
  }
  return hits;
}

/** 0 for what is mapped but cannot be read (guard pages, unbacked reservations). */
function readPart(memory: number, target: Buffer, position: bigint): number {
  try {
    return readSync(memory, target, 0, target.byteLength, position);
  } catch {
    return 0;
  }
}
