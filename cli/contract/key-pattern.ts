import { RE2JS } from 're2js';

/**
 * Patterns of administrators, held against values of users: RE2, the same language that the API server checks `format.pattern` by.
 * Its time grows with the length of the value and the size of the pattern, and never beyond (https://github.com/google/re2/wiki/WhyRE2).
 */

/** Instructions that a compiled pattern may have: against the longest value it then takes tens of milliseconds. */
export const patternInstructionsMax = 4_096;

/** `unusable`: no RE2 expression, or one of too many instructions. */
export type PatternVerdict = 'matches' | 'differs' | 'unusable';

/** Whether the pattern is about the whole of `value`, which never becomes a string. */
export function matchWhole(pattern: string, value: Uint8Array): PatternVerdict {
  const compiled = compile(pattern);
  if (compiled === undefined) return 'unusable';
  return compiled.matcher(value).matches() ? 'matches' : 'differs';
}

export function isUsablePattern(pattern: string): boolean {
  return compile(pattern) !== undefined;
}

function compile(pattern: string): RE2JS | undefined {
  // Compiling alone would take a fifth of a second for the largest that 256 characters can say.
  if (roughInstructions(pattern) > patternInstructionsMax) return undefined;
  try {
    const compiled = RE2JS.compile(pattern);
    return compiled.programSize() > patternInstructionsMax ? undefined : compiled;
  } catch {
    return undefined;
  }
}

/** An escaped character, a class, a counted repeat, or a single character. */
const piece = /\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{(\d+)(?:,(\d*))?\}|[^]/gu;

/** About as many as the compiled pattern will have; what it misjudges is found when it is compiled. */
function roughInstructions(pattern: string): number {
  const outer: number[] = [];
  let [total, last] = [0, 0];
  for (const [text, least, most] of pattern.matchAll(piece)) {
    if (least !== undefined) {
      const repeated = last * Math.max(1, Number(least), Number(most ?? 0));
      [total, last] = [total - last + repeated, repeated];
    } else if (text === '(') {
      outer.push(total);
      total = 0;
    } else if (text === ')') {
      last = total;
      total += outer.pop() ?? 0;
    } else {
      [total, last] = [total + 1, 1];
    }
  }
  return outer.reduce((sum, size) => sum + size, total);
}
