import type { UserKeyPolicy, UserKeyPolicyProbe } from '#crds/v1alpha1/generated/user-key-policy.ts';
import { durationMs } from '#operator/policy/duration.ts';

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
}

export interface SourcedProbe {
  /** Name of the UserKeyPolicy. */
  readonly policy: string;
  readonly probe: UserKeyPolicyProbe;
}

/** Pure. The strictest of each field, of policies that are for one server and user. A probe alone is for warnings. */
export function validationRules(policies: readonly UserKeyPolicy[]): ValidationRules {
  const asked = policies.flatMap(({ metadata, spec }) =>
    spec.validation === undefined ? [] : [{ policy: metadata.name, ...spec.validation }],
  );
  const probes = asked.flatMap(({ policy, probe }) => (probe === undefined ? [] : [{ policy, probe }]));
  const intervals = asked.flatMap(({ schedule }) => (schedule === undefined ? [] : [durationMs(schedule)]));
  const counts = asked.flatMap((one) => one.invalidAfterFailures ?? []);
  return {
    onSave: strictness.find((value) => asked.some((one) => one.onSave === value)) ?? 'Warn',
    invalidAfterFailures: counts.length === 0 ? failuresByDefault : Math.min(...counts),
    probes,
    ...(intervals.length === 0 ? {} : { intervalMs: Math.min(...intervals) }),
  };
}

/** One that fails is tried again after a minute. */
const failuresByDefault = 2;

const strictness: readonly OnSave[] = ['Enforce', 'Warn', 'Off'];
