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
  return findAllInMemory(pid, { needle }).needle;
}

/** The same for several at once, in one pass. */
export function findAllInMemory<Name extends string>(
  pid: number,
  needles: Readonly<Record<Name, Uint8Array>>,
): Readonly<Record<Name, readonly MemoryHit[]>> {
  const names = Object.keys(needles) as Name[];
  const hits = Object.fromEntries(names.map((name) => [name, [] as MemoryHit[]])) as Record<Name, MemoryHit[]>;
  const overlapBytes = Math.max(...names.map((name) => needles[name].byteLength)) - 1;
  for (const { address, mapping, part } of windowsOf(pid, overlapBytes)) {
    for (const name of names) {
      for (const index of indexesOf(part, needles[name])) {
        const at = address + BigInt(index);
        // Windows overlap, so a hit may be seen twice.
        if (hits[name].at(-1)?.address !== at) hits[name].push({ address: at, mapping });
      }
    }
  }
  return hits;
}

function* indexesOf(part: Buffer, needle: Uint8Array): Generator<number> {
  for (let index = part.indexOf(needle); index >= 0; index = part.indexOf(needle, index + 1)) yield index;
}

function* windowsOf(pid: number, overlapBytes: number) {
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  const window = Buffer.alloc(windowBytes);
  const stepBytes = BigInt(windowBytes - overlapBytes);
  try {
    for (const { start, end, name } of writableMappings(pid)) {
      for (let address = start; address < end; address += stepBytes) {
        const wanted = end - address < BigInt(windowBytes) ? Number(end - address) : windowBytes;
        const part = window.subarray(0, readPart(memory, window.subarray(0, wanted), address));
        yield { address, mapping: name, part };
      }
    }
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

/** 0 for what is mapped but cannot be read (guard pages, unbacked reservations). */
function readPart(memory: number, target: Buffer, position: bigint): number {
  try {
    return readSync(memory, target, 0, target.byteLength, position);
  } catch {
    return 0;
  }
}
