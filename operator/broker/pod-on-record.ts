import type { ServerRef } from '#contract/lease.ts';
import type { LeaseEvent, PodOnRecord } from '#operator/audit/audit-log.ts';
import type { VerifiedPod } from '#operator/identity/pod-identity.ts';

/** A pod as events name it. Its namespace is that of the server, unless it is said. */
export function podOnRecord({ name, uid, namespace }: VerifiedPod, server: ServerRef): PodOnRecord {
  return { name, uid, ...(namespace === server.namespace ? {} : { namespace }) };
}

/** The same of whoever was given a lease: with its node, and the credential by which it was known. */
export function leaseholderOnRecord(pod: VerifiedPod, server: ServerRef): Pick<LeaseEvent, 'pod' | 'podCredentialId'> {
  return {
    pod: { ...podOnRecord(pod, server), ...(pod.node === undefined ? {} : { node: pod.node }) },
    ...(pod.credentialId === undefined ? {} : { podCredentialId: pod.credentialId }),
  };
}
