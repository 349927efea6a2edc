import type { McpServerManaged } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { Deployment } from '#operator/kube/resources.ts';

/** How far the Deployment of a managed server is. */
export type Rollout =
  | { readonly kind: 'scaledToZero' }
  | { readonly kind: 'serving'; readonly pods: number }
  | { readonly kind: 'deploymentProgressing'; readonly message: string }
  | { readonly kind: 'deploymentUnavailable'; readonly message: string };

/** Reads the Deployment's own status; one that is not there yet is progressing. */
export function rolloutOf({ replicas }: McpServerManaged, deployment: Deployment | undefined): Rollout {
  if (replicas === 0) return { kind: 'scaledToZero' };
  const available = deployment?.status?.availableReplicas ?? 0;
  if (isComplete(deployment, replicas)) return { kind: 'serving', pods: available };
  const trouble = troubleOf(deployment);
  if (trouble !== undefined) return { kind: 'deploymentUnavailable', message: trouble };
  return { kind: 'deploymentProgressing', message: `${available} of ${replicas} pods are available` };
}

function isComplete(deployment: Deployment | undefined, replicas: number): boolean {
  const status = deployment?.status;
  return (
    status !== undefined &&
    status.observedGeneration === deployment?.metadata.generation &&
    status.updatedReplicas === replicas &&
    status.availableReplicas === replicas
  );
}

/** What keeps pods from being made (quota, admission), or that the deadline for progress has passed. */
function troubleOf(deployment: Deployment | undefined): string | undefined {
  const conditions = deployment?.status?.conditions ?? [];
  const refused = conditions.find(({ type, status }) => type === 'ReplicaFailure' && status === 'True');
  const stuck = conditions.find(({ type, status }) => type === 'Progressing' && status === 'False');
  return (refused ?? stuck)?.message;
}
