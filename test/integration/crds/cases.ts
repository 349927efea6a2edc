/** A deep copy of `base` with the value at a dotted path set, or removed when `value` is undefined. */
export function changed<T extends object>(base: T, path: string, value: unknown): T {
  const copy = structuredClone(base);
  const steps = path.split('.');
  const last = steps.pop() ?? '';
  let place = copy as Record<string, unknown>;
  for (const step of steps) {
    place[step] ??= {};
    place = place[step] as Record<string, unknown>;
  }
  if (value === undefined) delete place[last];
  else place[last] = value;
  return copy;
}

/** What is written at `path` of an otherwise valid object, and what the API server says to it. */
export interface Case {
  readonly what: string;
  readonly path: string;
  readonly value: unknown;
  /** Part of the message; absent: it is taken. */
  readonly refusedWith?: string;
}
