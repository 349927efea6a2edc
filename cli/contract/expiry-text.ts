/** When a key ends, as its user writes it: an instant, a day, or how long it has from now. */
export type KeyEnd =
  /** RFC 3339, UTC, with milliseconds. */
  { readonly kind: 'at'; readonly at: string } | { readonly kind: 'after'; readonly seconds: number };

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };
const instant = /^(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?([Zz]|[+-]\d\d:\d\d))?$/u;

/** Pure. `undefined`: neither. A day ends a key at its beginning, in UTC: rather too early than a refused call. */
export function readKeyEnd(text: string): KeyEnd | undefined {
  const seconds = readDuration(text);
  if (seconds !== undefined) return { kind: 'after', seconds };
  const ms = readInstant(text);
  return ms === undefined || ms > keyEndMsMax ? undefined : { kind: 'at', at: new Date(ms).toISOString() };
}

/** Beyond the year 9999 too, into which a zone can move the last day. */
function readInstant(text: string): number | undefined {
  const [, day, clock = '00:00', second = '00', fraction = '0', zone = 'Z'] = instant.exec(text) ?? [];
  // `Date.parse` takes 24:00 too, for the day after.
  if (day === undefined || !isDay(day) || clock.startsWith('24')) return undefined;
  const ms = Date.parse(`${day}T${clock}:${second}.${fraction.slice(0, 3).padEnd(3, '0')}${zone.toUpperCase()}`);
  return Number.isNaN(ms) ? undefined : ms;
}

export const keyEndMsMax: number = Date.parse('9999-12-31T23:59:59.999Z');

/** `30d`, `12h`: seconds. */
export function readDuration(text: string): number | undefined {
  const [, count = '', unit = ''] = /^([1-9][0-9]{0,5})([smhd])$/u.exec(text) ?? [];
  const seconds = Number(count) * (unitSeconds[unit] ?? 0);
  return seconds > 0 ? seconds : undefined;
}

/** `Date.parse` takes the 30th of February for the 2nd of March. */
function isDay(day: string): boolean {
  const ms = Date.parse(`${day}T00:00:00.000Z`);
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(day);
}
