/** When intake keys are made and dropped. */

export const intakeKeyAgeMsMax = 24 * 3_600_000;
/** How long a request sealed to the key before may still arrive. */
export const intakeKeyGraceMs = 3_600_000;

export interface IntakeKeyAge {
  readonly keyId: string;
  readonly createdAtMs: number;
}

export interface RotationDecision {
  readonly generate: boolean;
  readonly drop: readonly string[];
}

/** A key is replaced when it is old, and dropped a while after its successor was made. Pure. */
export function decideRotation(keys: readonly IntakeKeyAge[], nowMs: number): RotationDecision {
  const byAge = keys.toSorted((left, right) => left.createdAtMs - right.createdAtMs);
  const newest = byAge.at(-1);
  const generate = newest === undefined || nowMs - newest.createdAtMs >= intakeKeyAgeMsMax;
  const drop = byAge.flatMap((key, index) => {
    const successor = byAge[index + 1];
    return successor !== undefined && nowMs - successor.createdAtMs >= intakeKeyGraceMs ? [key.keyId] : [];
  });
  return { generate, drop };
}
