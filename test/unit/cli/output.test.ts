import { describe, expect, test } from 'vitest';
import { age, printable, table } from '#cli/output.ts';

describe('output', () => {
  test('pads columns to their widest cell and leaves no blanks at the end', () => {
    expect(table(['A', 'LONG'], [['aaa', 'x']])).toBe('A     LONG\naaa   x');
  });

  test.each([
    ['clear screen and colour', '\u001b[2J\u001b[31mSession expired\u001b[0m'],
    ['window title', '\u001b]0;pwned\u0007'],
    ['C1 control sequence introducer', '\u009b31m'],
    ['carriage return over the line', 'good\rbad'],
    ['right-to-left override', 'a\u202eb'],
  ])("an administrator's text cannot steer the terminal: %s", (_name, text) => {
    // oxlint-disable-next-line no-control-regex
    expect(printable(text)).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e]/u);
  });

  test('leaves ordinary text, marks and line breaks as they are', () => {
    expect(printable('🟢 Configured\n\tÄ')).toBe('🟢 Configured\n\tÄ');
  });

  test.each([
    [5, '5s'],
    [300, '5m'],
    [7300, '2h'],
    [200_000, '2d'],
  ])('says how long ago as kubectl does: %i s', (seconds, text) => {
    const now = new Date('2026-01-10T00:00:00Z');
    expect(age(new Date(now.getTime() - seconds * 1000).toISOString(), now)).toBe(text);
  });
});
