import { describe, expect, test } from 'vitest';

import {
  cpuRequestAnnotation,
  defaultTuning,
  memoryLimitAnnotation,
  readTuning,
} from '#operator/admission/inject/annotations.ts';

describe('readTuning', () => {
  test('has a default for everything, and no opinion on the annotations of others', () => {
    const annotations = { 'example.com/x': '1', 'mcpkeyring.io/sidecar-status': '{}', 'mcpkeyring.io/other': '1' };
    expect(readTuning(annotations)).toEqual({ kind: 'tuning', tuning: defaultTuning, warnings: [] });
  });

  test.each(['64Mi', '65536Ki', '67108864', '4Gi', '4096Mi', '1G', '100000k'])('takes %s of memory', (memoryLimit) => {
    const tuned = readTuning({ [memoryLimitAnnotation]: memoryLimit });
    expect(tuned).toMatchObject({ kind: 'tuning', tuning: { ...defaultTuning, memoryLimit } });
  });

  test.each([
    '63Mi',
    '67108863',
    '4097Mi',
    '5Gi',
    '1Ti',
    '1e9',
    '0',
    '-64Mi',
    '64 Mi',
    '64mi',
    '0x40',
    '١٢٨Mi',
    '128Mi\n',
    'NaN',
  ])('refuses %j of memory', (value) => {
    expect(readTuning({ [memoryLimitAnnotation]: value })).toMatchObject({
      kind: 'refuse',
      reason: 'annotationInvalid',
    });
  });

  test.each(['1m', '4000m', '4', '0.001', '1.5'])('takes %s of CPU', (cpuRequest) => {
    const tuned = readTuning({ [cpuRequestAnnotation]: cpuRequest });
    expect(tuned).toMatchObject({ kind: 'tuning', tuning: { ...defaultTuning, cpuRequest } });
  });

  test.each(['0m', '4001m', '4.001', '0.0001', '.5', '1.', '1k', '-1m', ' 1', ''])('refuses %j of CPU', (value) => {
    expect(readTuning({ [cpuRequestAnnotation]: value })).toMatchObject({
      kind: 'refuse',
      reason: 'annotationInvalid',
    });
  });

  test('bounds what it repeats of a value', () => {
    const refusal = readTuning({ [memoryLimitAnnotation]: `${'x'.repeat(10_000)}\n` });
    expect(refusal).toMatchObject({ message: expect.stringMatching(/^annotation [^\n]{100,250}$/) });
  });

  test('bounds the number and the length of warnings', () => {
    const names = Array.from({ length: 50 }, (_, index) => `mcpkeyring.io/sidecar-${index}-${'x'.repeat(500)}`);
    const tuned = readTuning(Object.fromEntries(names.map((name) => [name, ''])));
    const warnings = tuned.kind === 'tuning' ? tuned.warnings : [];
    expect(warnings).toHaveLength(8);
    expect(Math.max(...warnings.map((warning) => warning.length))).toBeLessThanOrEqual(120);
  });
});
