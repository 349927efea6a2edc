/** Control characters would let a name rewrite a terminal or a log line. */
// eslint-disable-next-line no-control-regex -- that is what is looked for
export const unprintable = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;

/** A property that the object has itself; what it inherits is nothing that an issuer said. */
export function ownValue(object: object, name: string): unknown {
  const own: Readonly<Record<string, unknown>> = { ...object };
  return Object.hasOwn(own, name) ? own[name] : undefined;
}
