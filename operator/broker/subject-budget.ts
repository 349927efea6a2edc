import type { ServerRef } from '#contract/lease.ts';
import type { VerifiedPod } from '#operator/identity/pod-identity.ts';

/** What is rationed: a sidecar or an agent as a whole, and each server of a gateway, so that no server's users starve another's. */
export function subjectBudget({ uid, role }: VerifiedPod, { namespace, name }: ServerRef): string {
  return role === 'gateway' ? `${uid} ${namespace}/${name}` : uid;
}
