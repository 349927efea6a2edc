import type { UserKeyApproval } from '#crds/v1alpha1/generated/user-key.ts';
import type { Refusal } from '#cli/contract/responses.ts';
import type { Subject } from '#contract/lease.ts';
import { refusal, refusals, rightUnknown, serverNotFound } from '#operator/intake/refusals.ts';
import type { ApprovalRules } from '#operator/policy/approval-rules.ts';

import type { ApproverProblem } from './approver.ts';

/** Groups and users that a refusal names. */
const namedMax = 10;

/** Why somebody may not decide: a sentence without its full stop. */
export function describeProblem(problem: ApproverProblem): string {
  switch (problem.kind) {
    case 'themselves':
      return 'nobody approves their own key, under whichever login';
    case 'notInGroup': {
      const { value, decidedBy } = problem.groups;
      return `UserKeyPolicy ${decidedBy} wants approvers of one of the groups ${someOf(value)}, and you are in none of them`;
    }
  }
}

/** Every sentence with which something about approval is refused: what is wrong, and what to do. */
export const approvalRefusals = {
  malformed: refusals.malformed,
  rightUnknown,
  serverNotFound,
  notNeeded: (server: string): Refusal =>
    refusal(
      'ApprovalNotNeeded',
      `No policy asks for approval of your key for ${server}. Set it: kubectl mcpkeys set ${server}`,
    ),
  notNeededFor: (user: string, server: string): Refusal =>
    refusal('ApprovalNotNeeded', `No policy asks for approval of the key of ${user} for ${server}. Nothing was done.`),
  refusedBefore: (server: string, { by, reason }: UserKeyApproval): Refusal =>
    refusal(
      'ApprovalRefused',
      `${by ?? 'An approver'} refused that you have a key for ${server}${because(reason)}. Nothing was stored. ` +
        `Ask again: kubectl mcpkeys request ${server} --reason '...'`,
    ),
  approver: (problem: ApproverProblem, server: string): Refusal =>
    refusal(
      'ApproverRefused',
      `You cannot decide about this key for ${server}: ${describeProblem(problem)}. Somebody else has to.`,
    ),
  changed: ({ state, by = 'somebody', reason }: UserKeyApproval): Refusal =>
    refusal(
      'ApprovalChanged',
      `In the meantime ${by} has ${state === 'Granted' ? 'granted' : 'refused'} it${because(reason)}, so nothing was done. Look, and run it again if you still want to: kubectl mcpkeys approvals`,
    ),
  endInThePast: (until: Date, now: Date): Refusal =>
    refusal(
      'ExpiryRefused',
      `The grant would have ended at ${until.toISOString()}; now it is ${now.toISOString()}. Nothing was done.`,
    ),
  endTooFar: ({ validForMs }: ApprovalRules, longest: Date): Refusal =>
    refusal(
      'ExpiryRefused',
      `UserKeyPolicy ${validForMs?.decidedBy} lets a grant last until ${longest.toISOString()} at most. Give an earlier --until, or none.`,
    ),
  endTooFarAway: refusal('ExpiryRefused', 'The grant would end after the year 9999. Give a day before that, or none.'),
  /** Names are what users call themselves, so a grant goes by none. */
  userNotFound: (user: string, server: string, namesakes: readonly Waiting[]): Refusal =>
    refusal(
      'KeyNotFound',
      namesakes.length === 0
        ? `Nobody of the id ${user} has a key for ${server}, or has asked for one. Who has: kubectl mcpkeys approvals`
        : `${user} is what ${namesakes.length === 1 ? 'a user calls' : 'users call'} themselves, which anybody can. Say who you mean by --user: ${described(namesakes)}`,
    ),
  ambiguous: (user: string, users: readonly Waiting[]): Refusal =>
    refusal(
      'UserAmbiguous',
      `${users.length} users have the id ${user}. Say who you mean by --user: ${described(users)}`,
    ),
} as const;

interface Waiting {
  readonly key: string;
  readonly subject: Subject;
}

function described(users: readonly Waiting[]): string {
  return someOf(users.map(({ key, subject }) => `${key} (${subject.id} of ${subject.issuer})`));
}

function because(reason: string | undefined): string {
  return reason === undefined ? '' : `: ${reason.replace(/[.!]+$/u, '')}`;
}

function someOf(all: readonly string[]): string {
  const more = all.length - namedMax;
  return all.slice(0, namedMax).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
