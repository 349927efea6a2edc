import type { Subject } from '#contract/lease.ts';
import { kubernetesSubjectIssuer } from '#contract/set-command.ts';
import type { ApprovalRules } from '#operator/policy/approval-rules.ts';
import type { Decided } from '#operator/policy/decided.ts';

/** Somebody who wants to decide, as their issuer and the API server know them. */
export interface Approver {
  readonly subject: Subject;
  readonly groups: readonly string[];
  /** The user of the cluster who made the request. */
  readonly username: string;
}

export type ApproverProblem =
  | { readonly kind: 'themselves' }
  /** Of the groups that this policy names they are in none. */
  | { readonly kind: 'notInGroup'; readonly groups: Decided<readonly string[]> };

/** Pure. Why they may not decide about `user`; undefined: they may. That they have the verb is asked elsewhere. */
export function approverProblem(
  approver: Approver,
  user: Pick<Subject, 'issuer' | 'id' | 'name'>,
  { approvers }: Pick<ApprovalRules, 'approvers'>,
): ApproverProblem | undefined {
  if (isSamePerson(approver, user)) return { kind: 'themselves' };
  const unmet = approvers.find(({ value }) => !value.some((group) => approver.groups.includes(group)));
  return unmet === undefined ? undefined : { kind: 'notInGroup', groups: unmet };
}

/** Pure. The groups by which they may, for the record. */
export function approvingGroups(
  { groups }: Pick<Approver, 'groups'>,
  { approvers }: Pick<ApprovalRules, 'approvers'>,
): readonly string[] {
  const named = new Set(approvers.flatMap(({ value }) => value));
  return [...new Set(groups)].filter((group) => named.has(group)).toSorted();
}

/**
 * Pure. As far as it can be known: by issuer and id, by the user of the cluster who asked, and where one of the two names is an id or a
 * name of the other. That two logins of different names are one person nobody tells us.
 */
function isSamePerson({ subject, username }: Approver, user: Pick<Subject, 'issuer' | 'id' | 'name'>): boolean {
  if (subject.issuer === user.issuer && subject.id === user.id) return true;
  return [username, ...aliasesOf(subject)].some((alias) => isNamed(alias, user));
}

function aliasesOf({ issuer, id, name }: Subject): readonly string[] {
  return issuer === kubernetesSubjectIssuer ? [id] : [name, `${issuer}#${id}`];
}

/** The API server puts a prefix before the names of OIDC users: `<issuer>#`, or one of its administrator's choice, which ends so. */
function isNamed(alias: string, { issuer, id, name }: Pick<Subject, 'issuer' | 'id' | 'name'>): boolean {
  const own = issuer === kubernetesSubjectIssuer ? [id] : [name, id];
  return own.some(
    (text) =>
      alias === text ||
      alias.endsWith(`:${text}`) ||
      alias.endsWith(`#${text}`) ||
      text.endsWith(`:${alias}`) ||
      text.endsWith(`#${alias}`),
  );
}
