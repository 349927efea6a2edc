import { describe, expect, test } from 'vitest';

import { endOfDay, isTimeZone } from '#operator/limits/calendar-day.ts';
import { verifies } from '#test/requirements.ts';

describe('a day', () => {
  test.each([
    ['UTC', '2026-11-25T08:00:00Z', '2026-11-26T00:00:00.000Z'],
    ['Europe/Berlin', '2026-11-25T08:00:00Z', '2026-11-25T23:00:00.000Z'],
    // 23 and 25 hours.
    ['Europe/Berlin', '2026-03-28T23:00:00Z', '2026-03-29T22:00:00.000Z'],
    ['Europe/Berlin', '2026-10-24T22:00:00Z', '2026-10-25T23:00:00.000Z'],
    // Half an hour off, and half an hour of daylight saving.
    ['Asia/Kolkata', '2026-11-25T08:00:00Z', '2026-11-25T18:30:00.000Z'],
    ['Australia/Lord_Howe', '2026-04-04T14:00:00Z', '2026-04-05T13:30:00.000Z'],
    // No midnight on that day: clocks went from 23:59 to 01:00.
    ['Africa/Cairo', '2026-04-23T12:00:00Z', '2026-04-23T22:00:00.000Z'],
  ])('ends where the date changes: %s after %s', (zone, now, end) => {
    expect(new Date(endOfDay(zone, Date.parse(now))).toISOString()).toBe(end);
  });

  test(verifies('limits:days'), () => {
    const springs = endOfDay('Europe/Berlin', Date.parse('2026-03-28T23:00:00Z')) - Date.parse('2026-03-28T23:00:00Z');
    const falls = endOfDay('Europe/Berlin', Date.parse('2026-10-24T22:00:00Z')) - Date.parse('2026-10-24T22:00:00Z');
    expect([springs, falls]).toEqual([23 * 3_600_000, 25 * 3_600_000]);
  });

  test('of a zone that nobody knows is none', () => {
    expect([isTimeZone('Europe/Berlin'), isTimeZone('UTC'), isTimeZone('Mars/Olympus')]).toEqual([true, true, false]);
  });
});
