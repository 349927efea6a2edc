import { EnvelopeError } from './errors.ts';
import type { Fields } from './header-fields.ts';

/** One time for each name of the slot, in its order, in milliseconds since 1970; 0: none is known. At least one is. */
export type SlotTimes = readonly number[];

/** The last millisecond that RFC 3339 can say. */
export const slotTimeMsMax: number = Date.parse('9999-12-31T23:59:59.999Z');

/** Whether `times` may stand in a context beside `slot`. All zeros may not: what is not known has one form, which is no field at all. */
export function areSlotTimes(times: SlotTimes, slot: string): boolean {
  if (times.length !== slot.split(',').length || !times.some((time) => time > 0)) return false;
  return times.every((time) => Number.isSafeInteger(time) && time >= 0 && time <= slotTimeMsMax);
}

/** Those of `names` that are there, each a list of numbers. @throws EnvelopeError */
export function readSlotTimes<Name extends string>(
  fields: Fields,
  names: readonly Name[],
): Partial<Record<Name, SlotTimes>> {
  const read: Partial<Record<Name, SlotTimes>> = {};
  for (const name of names) {
    const value = fields.raw(name);
    if (value === undefined) continue;
    if (!Array.isArray(value) || !value.every((time): time is number => typeof time === 'number')) {
      throw new EnvelopeError('ERR_ENVELOPE_HEADER_MALFORMED');
    }
    read[name] = value;
  }
  return read;
}
