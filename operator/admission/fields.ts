/** Readers of untrusted JSON. Absent and null are the same, as the API server sends both. */

export type Fields = Readonly<Record<string, unknown>>;

/** A value is not of the type that its place demands; `message` names the place, never the value. */
export class FieldError extends Error {
  override readonly name = 'FieldError';
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function objectAt(value: unknown, path: string): Fields | undefined {
  if (value === undefined || value === null) return undefined;
  if (!isFields(value)) throw new FieldError(`${path} is not an object`);
  return value;
}

export function listAt(value: unknown, path: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new FieldError(`${path} is not a list`);
  return value;
}

export function textAt(value: unknown, path: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') throw new FieldError(`${path} is not a string`);
  return value;
}

export function flagAt(value: unknown, path: string): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value !== 'boolean') throw new FieldError(`${path} is not true or false`);
  return value;
}

export function numberAt(value: unknown, path: string): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'number') throw new FieldError(`${path} is not a number`);
  return value;
}

/** A map of strings, with no prototype: a key such as `constructor` finds nothing that is not there. */
export function textMapAt(value: unknown, path: string): Readonly<Record<string, string>> | undefined {
  const fields = objectAt(value, path);
  if (fields === undefined) return undefined;
  const map: Record<string, string> = Object.create(null);
  for (const [key, text] of Object.entries(fields)) map[key] = textAt(text, `${path} value`) ?? '';
  return map;
}

/** @throws {FieldError} also when it is absent. */
export function requiredText(value: unknown, path: string): string {
  const text = textAt(value, path);
  if (text === undefined || text === '') throw new FieldError(`${path} is missing`);
  return text;
}

/** @throws {FieldError} also when it is absent. */
export function requiredObject(value: unknown, path: string): Fields {
  const fields = objectAt(value, path);
  if (fields === undefined) throw new FieldError(`${path} is missing`);
  return fields;
}
