import type { KubeClient } from './client.ts';
import { type ResourceAttributes, type SelfSubjectAccessReview, selfSubjectAccessReviews } from './resources.ts';

/**
 * Which of the permissions that we need are not ours: said once at start, instead of a 403 somewhere later.
 *
 * @throws KubeError when the server cannot be asked.
 */
export async function missingPermissions(
  client: KubeClient,
  needed: readonly ResourceAttributes[],
  signal?: AbortSignal,
): Promise<readonly ResourceAttributes[]> {
  const missing: ResourceAttributes[] = [];
  // One after the other: start-up is not in a hurry, and sockets are.
  for (const resourceAttributes of needed) {
    const review = await client.review<SelfSubjectAccessReview>(
      selfSubjectAccessReviews,
      { metadata: {}, spec: { resourceAttributes } },
      signal === undefined ? {} : { signal },
    );
    if (review.status?.allowed !== true) missing.push(resourceAttributes);
  }
  return missing;
}

/** `patch mcpservers.mcpkeyring.io/status in namespace x`. */
export function describePermission(permission: ResourceAttributes): string {
  const group = permission.group === undefined || permission.group === '' ? '' : `.${permission.group}`;
  const subresource = permission.subresource === undefined ? '' : `/${permission.subresource}`;
  const name = permission.name === undefined ? '' : ` ${permission.name}`;
  const place = permission.namespace === undefined ? '' : ` in namespace ${permission.namespace}`;
  return `${permission.verb} ${permission.resource}${group}${subresource}${name}${place}`;
}
