import { expect, test } from 'vitest';

import { UpstreamSuspicion, suspicionMs } from '#operator/validation/upstream-suspicion.ts';
import { verifies } from '#test/requirements.ts';

const github = { namespace: 'team-a', name: 'github' };
const jira = { namespace: 'team-a', name: 'jira' };
const rejected = { verdict: 'Rejected', reason: 'KeyRefused' } as const;
const failed = { verdict: 'Rejected', reason: 'ToolFailed' } as const;
const accepted = { verdict: 'Accepted', reason: 'Accepted' } as const;
const lacking = { verdict: 'InsufficientScope', reason: 'ScopeMissing' } as const;
const suspected = { reason: 'UpstreamSuspected' } as const;

function world() {
  const clock = { nowMs: 0 };
  return { clock, suspicion: new UpstreamSuspicion({ nowMs: () => clock.nowMs }) };
}

test(verifies('validation:upstream-suspected'), () => {
  const { suspicion } = world();
  expect(suspicion.judge(github, 'ada', rejected)).toBe(rejected);
  expect(suspicion.judge(github, 'bob', failed)).toBe(failed);
  expect(suspicion.judge(github, 'eve', rejected)).toEqual(suspected);
  // The confirmation a minute later finds out that the first was none of its own.
  expect(suspicion.judge(github, 'ada', rejected)).toEqual(suspected);
  expect(suspicion.judge(jira, 'eve', rejected)).toBe(rejected);
});

test.each([accepted, lacking])('a user who is known to the upstream shows that it is not at fault: %j', (served) => {
  const { suspicion } = world();
  for (const user of ['ada', 'bob']) suspicion.judge(github, user, rejected);
  expect(suspicion.judge(github, 'zoe', served)).toBe(served);
  expect(suspicion.judge(github, 'eve', rejected)).toBe(rejected);
});

test('what was long ago, and what was without a verdict, does not count', () => {
  const { suspicion, clock } = world();
  for (const user of ['ada', 'bob']) suspicion.judge(github, user, rejected);
  clock.nowMs = suspicionMs + 1;
  suspicion.judge(github, 'zoe', { reason: 'TimedOut' });
  expect(suspicion.judge(github, 'eve', rejected)).toBe(rejected);
  expect(suspicion.judge(github, 'eve', rejected)).toBe(rejected);
});
