import { isUtf8 } from 'node:buffer';
import { type JsonKind, ObjectOutline } from './json-outline.ts';
import { JsonScanner, type ScanProblem } from './json-scanner.ts';
import { JsonText } from './json-text.ts';
import type { WatchedKeys } from './watched-keys.ts';

/**
 * JSON in which two parsers cannot see two things. What the proxy judges is forwarded byte for byte, so whatever parsers differ on
 * is refused: invalid UTF-8, a byte order mark, an object key that occurs twice.
 */

export type StrictJsonProblem = ScanProblem | 'NotUtf8' | 'ByteOrderMark';

/** What is judged of a text: members of the object that it is, and of the object that is its member number `innerOf`. */
export interface JudgedKeys {
  readonly root: WatchedKeys;
  readonly inner: WatchedKeys;
  readonly innerOf: number;
}

export interface StrictJson {
  readonly kind: JsonKind;
  readonly root: ObjectOutline;
  readonly inner: ObjectOutline;
}

/** Reads the whole of `bytes`; never throws. */
export function readStrictJson(bytes: Uint8Array, keys: JudgedKeys): StrictJson | StrictJsonProblem {
  if (!isUtf8(bytes)) return 'NotUtf8';
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) return 'ByteOrderMark';
  const text = new JsonText(bytes);
  const root = new ObjectOutline(text, keys.root);
  const inner = new ObjectOutline(text, keys.inner);
  const scanner = new JsonScanner(text, { root, inner, innerOf: keys.innerOf });
  const problem = scanner.scan();
  return problem ?? { kind: scanner.kind, root, inner };
}
