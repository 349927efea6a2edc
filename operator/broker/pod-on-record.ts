import type { ServerRef } from '#contract/lease.ts';
import type { PodOnRecord } from '#operator/audit/audit-log.ts';
import type { VerifiedPod } from '#operator/identity/pod-identity.ts';

/** A pod as events name it. Its namespace is that of the server, unless it is said. */
export function podOnRecord({ name, uid, namespace }: VerifiedPod, server: ServerRef): PodOnRecord {
  return { name, uid, ...(namespace === server.namespace ? {} : { namespace }) };
}
