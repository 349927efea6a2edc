import type { OwnerReference } from '#crds/v1alpha1/object.ts';
import type { KubeObject } from '#operator/kube/resource.ts';

import type { DesiredObject } from './decision.ts';

/** Somebody else's object has the name that ours needs. Whoever may only make an McpServer must not get at it through us. */
export class NameTakenError extends Error {
  override readonly name = 'NameTakenError';

  constructor({ kind, metadata }: KubeObject) {
    super(`${kind} ${metadata.name} exists and belongs to somebody else; rename this object, or delete that one`);
  }
}

/** @throws NameTakenError unless `existing` has the owner that `desired` is to have */
export function assertOwned(existing: KubeObject, desired: DesiredObject): void {
  const wanted = ownersOf(desired.metadata.ownerReferences);
  const isOurs = ownersOf(existing.metadata.ownerReferences).some((uid) => wanted.includes(uid));
  if (!isOurs) throw new NameTakenError(existing);
}

function ownersOf(references: readonly OwnerReference[] | undefined): readonly string[] {
  return (references ?? []).map(({ uid }) => uid);
}
