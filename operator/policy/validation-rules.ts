import type { UserKeyPolicyProbe } from '#crds/v1alpha1/generated/user-key-policy.ts';

import type { Bound } from './bound-policies.ts';
import { durationMs } from './duration.ts';

/** Whether a key that fails its probes is stored. */
export type OnSave = 'Enforce' | 'Warn' | 'Off';

/** What policies ask of a key besides its form. */
export interface ValidationRules {
  readonly onSave: OnSave;
  /** Absent: stored keys are not probed again. */
  readonly intervalMs?: number;
  /** Probes in a row that a key has to fail before it is Invalid. */
  readonly invalidAfterFailures: number;
  /** All of them have to pass. Empty: nothing is ever probed. */
  readonly probes: readonly SourcedProbe[];
  /** The policy that each is from; absent: none says anything of it. */
  readonly decidedBy: Readonly<Partial<Record<'onSave' | 'intervalMs' | 'invalidAfterFailures', string>>>;
}

export interface SourcedProbe {
  /** Name of the UserKeyPolicy. */
  readonly policy: string;
  readonly probe: UserKeyPolicyProbe;
}

/** Pure. The strictest of each field. A probe alone is for warnings. */
export function validationRules({ policies }: Pick<Bound, 'policies'>): ValidationRules {
  const asked = policies.flatMap(({ metadata, spec }) =>
    spec.validation === undefined ? [] : [{ policy: metadata.name, ...spec.validation }],
  );
  const onSave = least(asked, (one) => (one.onSave === undefined ? undefined : strictness.indexOf(one.onSave)));
  const interval = least(asked, ({ schedule }) => (schedule === undefined ? undefined : durationMs(schedule)));
  const failures = least(asked, (one) => one.invalidAfterFailures);
  return {
    onSave: strictness[onSave?.value ?? -1] ?? 'Warn',
    invalidAfterFailures: failures?.value ?? failuresByDefault,
    probes: asked.flatMap(({ policy, probe }) => (probe === undefined ? [] : [{ policy, probe }])),
    ...(interval === undefined ? {} : { intervalMs: interval.value }),
    decidedBy: {
      ...(onSave === undefined ? {} : { onSave: onSave.decidedBy }),
      ...(interval === undefined ? {} : { intervalMs: interval.decidedBy }),
      ...(failures === undefined ? {} : { invalidAfterFailures: failures.decidedBy }),
    },
  };
}

/** The smallest that any says, and who says it; of several, the first. */
function least<T extends { readonly policy: string }>(
  asked: readonly T[],
  read: (one: T) => number | undefined,
): { readonly value: number; readonly decidedBy: string } | undefined {
  const said = asked.flatMap((one) => {
    const value = read(one);
    return value === undefined ? [] : [{ value, decidedBy: one.policy }];
  });
  return said.toSorted((left, right) => left.value - right.value)[0];
}

/** One that fails is tried again after a minute. */
const failuresByDefault = 2;

const strictness: readonly OnSave[] = ['Enforce', 'Warn', 'Off'];
