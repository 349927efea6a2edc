import type { Bound } from './bound-policies.ts';
import type { Decided } from './decided.ts';
import { durationMs } from './duration.ts';

/** Who has to let a user have a key, and for how long that holds. */
export interface ApprovalRules {
  /** The first policy by name that requires it. */
  readonly requiredBy: string;
  /** Groups of which an approver has to be in one, for each policy that names any: who approves satisfies every policy. */
  readonly approvers: readonly Decided<readonly string[]>[];
  /** Longest time that an approval holds; absent: as long as who approves says. */
  readonly validForMs?: Decided<number>;
}

/** Pure. Undefined where no policy requires approval; the others' approvers and times hold too once one does. */
export function approvalRules({ policies }: Pick<Bound, 'policies'>): ApprovalRules | undefined {
  const asked = policies.flatMap(({ metadata, spec }) =>
    spec.approval === undefined ? [] : [{ policy: metadata.name, ...spec.approval }],
  );
  const requiring = asked.find(({ required }) => required === true);
  if (requiring === undefined) return undefined;
  const approvers = asked.flatMap(({ policy, approvers: { groups } = {} }) =>
    groups === undefined ? [] : [{ value: groups, decidedBy: policy }],
  );
  const times = asked.flatMap(({ policy, validFor }) =>
    validFor === undefined ? [] : [{ value: durationMs(validFor), decidedBy: policy }],
  );
  const [shortest] = times.toSorted((left, right) => left.value - right.value);
  return {
    requiredBy: requiring.policy,
    approvers,
    ...(shortest === undefined ? {} : { validForMs: shortest }),
  };
}
