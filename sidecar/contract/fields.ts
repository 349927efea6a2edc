/**
 * Readers for untrusted JSON values. Each takes a value and its path, and gives it back typed or throws; a message names the
 * path and what was expected, never the value, because values may be credentials or keys.
 */

/** A message that does not keep to the contract. The one thing to do with it is to refuse it. */
export class ContractError extends Error {
  readonly code = 'ERR_CONTRACT';
  readonly path: string;

  constructor(path: string, expected: string) {
    super(`${path}: expected ${expected}`);
    this.name = 'ContractError';
    this.path = path;
  }
}

export type JsonObject = Readonly<Record<string, unknown>>;

export interface TextBounds {
  readonly charsMax: number;
  readonly charsMin?: number;
  readonly pattern?: RegExp;
  /** Names the pattern in the error. */
  readonly expected?: string;
}

/** @throws ContractError when `value` is not a JSON object */
export function readObject(value: unknown, path: string): JsonObject {
  if (!isJsonObject(value)) throw new ContractError(path, 'an object');
  return value;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @throws ContractError when `value` is not text within the bounds (at least one character unless `charsMin` is given) */
export function readText(value: unknown, path: string, bounds: TextBounds): string {
  const { charsMax, charsMin = 1, pattern, expected = `text of ${charsMin} to ${charsMax} characters` } = bounds;
  if (typeof value !== 'string' || value.length < charsMin || value.length > charsMax) {
    throw new ContractError(path, expected);
  }
  if (pattern !== undefined && !pattern.test(value)) throw new ContractError(path, expected);
  return value;
}

/** @throws ContractError when `value` is not a safe integer from `min` to `max` */
export function readInteger(
  value: unknown,
  path: string,
  range: { readonly min: number; readonly max: number },
): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < range.min || value > range.max) {
    throw new ContractError(path, `an integer from ${range.min} to ${range.max}`);
  }
  return value;
}

/** @throws ContractError when `value` is not a boolean */
export function readBoolean(value: unknown, path: string): boolean {
  if (typeof value !== 'boolean') throw new ContractError(path, 'true or false');
  return value;
}

/** Every value of a closed set. A table, so that the compiler says when one is forgotten. */
export type ClosedSet<T extends string> = Readonly<Record<T, true>>;

/** @throws ContractError when `value` is not a member of `allowed` */
export function readOneOf<T extends string>(value: unknown, path: string, allowed: ClosedSet<T>): T {
  if (!isMember(value, allowed)) throw new ContractError(path, `one of ${Object.keys(allowed).join(', ')}`);
  return value;
}

function isMember<T extends string>(value: unknown, allowed: ClosedSet<T>): value is T {
  return typeof value === 'string' && Object.hasOwn(allowed, value);
}

export interface ListBounds<T> {
  readonly itemsMax: number;
  readonly item: (value: unknown, path: string) => T;
}

/** @throws ContractError when `value` is not a list of at most `itemsMax` items that `item` accepts */
export function readList<T>(value: unknown, path: string, bounds: ListBounds<T>): readonly T[] {
  if (!Array.isArray(value) || value.length > bounds.itemsMax) {
    throw new ContractError(path, `a list of at most ${bounds.itemsMax} items`);
  }
  return value.map((entry, index) => bounds.item(entry, `${path}[${index}]`));
}

/** An absent field stays absent; `null` is not absent. */
export function ifPresent<T>(value: unknown, read: (value: unknown) => T): T | undefined {
  return value === undefined ? undefined : read(value);
}

type Present<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** The same object without the fields that are `undefined`. */
export function present<T extends object>(fields: T): Present<T>;
export function present(fields: Readonly<Record<string, unknown>>): object {
  const kept: Record<string, unknown> = {};
  for (const name in fields) if (fields[name] !== undefined) kept[name] = fields[name];
  return kept;
}
