import type { FieldLookup } from './fields.ts';

const close = /(?:^|[\t ,])close(?:$|[\t ,])/i;

/**
 * Whether a head says that its connection ends behind this message: `close` among the options of `Connection` (RFC 9112, 9.6). Also where
 * they are not separated as they should be: a connection that is not used again cannot be misread.
 */
export function endsBehind(headers: FieldLookup): boolean {
  const options = headers.get('connection');
  return options !== null && close.test(options);
}
