import { type KeyEnd, readKeyEnd } from './contract/expiry-text.ts';
import { CliError } from './errors.ts';

/** What `option` says of an end. @throws CliError Usage */
export function keyEndOf(option: '--expires' | '--until', text: string | undefined): KeyEnd | undefined {
  if (text === undefined) return undefined;
  const end = readKeyEnd(text);
  if (end !== undefined) return end;
  throw new CliError(
    'Usage',
    `${option} ${text}: give a day (2027-01-31), a time (RFC 3339), or how long from now (30d)`,
  );
}
