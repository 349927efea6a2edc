/** Days of a time zone of the IANA database, daylight saving and all. */

const formats = new Map<string, Intl.DateTimeFormat>();
const formatsMax = 64;
const hourMs = 3_600_000;
/** Longest day there has been: a whole one was repeated where the date line moved. */
const daysHoursMax = 49;

export function isTimeZone(name: string): boolean {
  try {
    dateFormat(name);
    return true;
  } catch {
    return false;
  }
}

/** The first instant, in milliseconds since 1970, whose date in `timeZone` is another one than that of `nowMs`. */
export function endOfDay(timeZone: string, nowMs: number): number {
  const format = dateFormat(timeZone);
  const today = format.format(nowMs);
  let [before, after] = [nowMs, nowMs + hourMs];
  for (let hours = 1; format.format(after) === today && hours < daysHoursMax; hours += 1) {
    before = after;
    after += hourMs;
  }
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (format.format(middle) === today) before = middle;
    else after = middle;
  }
  return after;
}

function dateFormat(timeZone: string): Intl.DateTimeFormat {
  const known = formats.get(timeZone);
  if (known !== undefined) return known;
  const format = new Intl.DateTimeFormat('en-CA', { timeZone, year: 'numeric', month: '2-digit', day: '2-digit' });
  if (formats.size >= formatsMax) formats.clear();
  formats.set(timeZone, format);
  return format;
}
