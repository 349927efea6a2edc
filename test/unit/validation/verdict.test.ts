import { describe, expect, test } from 'vitest';

import { sentenceOf } from '#operator/validation/describe.ts';
import { judgeProbe, messageCharsMax, probeReasons, worstFinding } from '#operator/validation/verdict.ts';
import { nextVerification } from '#operator/validation/verification.ts';

const now = new Date('2026-11-25T10:00:00.000Z');
const nextAt = new Date('2026-11-26T10:00:00.000Z');

describe('the verdict of a probe', () => {
  test.each([
    [200, true, true, 'Accepted', 'Accepted'],
    [200, true, false, 'Rejected', 'ExpectationMissed'],
    [403, true, true, 'Accepted', 'Accepted'],
    [401, false, true, 'Rejected', 'KeyRefused'],
    [403, false, true, 'InsufficientScope', 'ScopeMissing'],
    [429, false, true, undefined, 'RateLimited'],
    [500, false, true, undefined, 'UpstreamError'],
    [599, false, true, undefined, 'UpstreamError'],
    [301, false, true, undefined, 'Redirected'],
    [404, false, true, undefined, 'StatusUnexpected'],
    [400, false, true, undefined, 'StatusUnexpected'],
    [204, false, true, undefined, 'StatusUnexpected'],
  ] as const)(
    'of status %i, expected %s, body as expected %s: %s',
    (...[status, isExpected, isMet, verdict, reason]) => {
      expect(judgeProbe({ kind: 'status', status, isExpected, meets: isMet })).toEqual({
        reason,
        ...(verdict === undefined ? {} : { verdict }),
      });
    },
  );

  test('no failure on the way says anything of a key', () => {
    const silent = Object.entries(probeReasons).filter(([, { verdict }]) => verdict === undefined);
    expect(silent.length).toBeGreaterThan(12);
    expect(judgeProbe({ kind: 'failed', reason: 'TimedOut' })).toEqual({ reason: 'TimedOut' });
  });

  test('of several probes the worst counts', () => {
    const accepted = { verdict: 'Accepted', reason: 'Accepted' } as const;
    const unknown = { reason: 'TimedOut' } as const;
    const scope = { verdict: 'InsufficientScope', reason: 'ScopeMissing' } as const;
    const rejected = { verdict: 'Rejected', reason: 'KeyRefused' } as const;
    expect(worstFinding([accepted, unknown])).toBe(unknown);
    expect(worstFinding([unknown, scope, accepted])).toBe(scope);
    expect(worstFinding([scope, rejected, unknown])).toBe(rejected);
    expect(worstFinding([])).toBeUndefined();
  });
});

describe('what is on record', () => {
  const probed = (finding: Parameters<typeof nextVerification>[1]['finding'], version = 5) => ({
    version,
    finding,
    message: 'what was said',
    now,
    nextAt,
  });
  const rejected = { verdict: 'Rejected', reason: 'KeyRefused' } as const;

  test('counts failures in a row, of one version', () => {
    const first = nextVerification(undefined, probed(rejected));
    expect(first).toEqual({
      version: 5,
      verdict: 'Rejected',
      at: now.toISOString(),
      failures: 1,
      message: 'what was said',
      nextAt: nextAt.toISOString(),
    });
    expect(nextVerification(first, probed(rejected)).failures).toBe(2);
    expect(nextVerification(first, probed(rejected, 6)).failures).toBe(1);
    expect(nextVerification(first, probed({ verdict: 'Accepted', reason: 'Accepted' }))).toMatchObject({ failures: 0 });
  });

  test('stays as it is without a verdict, but for why there is none', () => {
    const before = nextVerification(undefined, probed(rejected));
    const after = nextVerification(before, probed({ reason: 'RateLimited' }));
    expect(after).toMatchObject({
      verdict: 'Rejected',
      failures: 1,
      at: before.at,
      message: 'what was said',
    });
    expect(nextVerification(before, probed({ reason: 'RateLimited' }, 6))).toMatchObject({
      verdict: 'Unverified',
      failures: 0,
    });
    expect(nextVerification(undefined, probed({ reason: 'TimedOut' }))).not.toHaveProperty('at');
  });

  test('every message fits the UserKey', () => {
    const [server, tool] = [{ metadata: { name: 'a' }, spec: { title: 't'.repeat(80) } }, { name: 'n'.repeat(128) }];
    for (const reason of Object.keys(probeReasons) as (keyof typeof probeReasons)[]) {
      const tried = { finding: { reason }, probe: { policy: 'p', probe: { tool } } };
      expect(sentenceOf(tried, server as never).length).toBeLessThanOrEqual(messageCharsMax);
    }
  });
});
