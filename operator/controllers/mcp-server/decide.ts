import type { McpServer, McpServerManaged, McpServerStatus } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import { type Deployment, deployments, networkPolicies, services } from '#operator/kube/resources.ts';

import type { Decision, Step } from '../decision.ts';
import type { ObservedServer } from './observe.ts';
import { desiredDeployment, desiredNetworkPolicy, desiredService } from './resources.ts';
import { type Rollout, rolloutOf } from './rollout.ts';
import { currentTemplateOf, type SidecarCensus, takeCensus } from './sidecars.ts';
import { serverStatus } from './status.ts';

/** Where the server runs; what this version does not serve is a value, for the status to say so. */
export type Upstream =
  | { readonly kind: 'workload'; readonly path: string }
  | { readonly kind: 'managed'; readonly path: string; readonly managed: McpServerManaged }
  | { readonly kind: 'unsupported' };

/** How the server fares. Only `serving` means that users are. */
export type ServerFinding =
  | { readonly kind: 'noOrganization' }
  | { readonly kind: 'excluded' }
  | { readonly kind: 'conflict'; readonly organizations: readonly string[] }
  | { readonly kind: 'unsupportedUpstream' }
  | { readonly kind: 'noPods' }
  | { readonly kind: 'podsNotReady'; readonly pods: readonly string[] }
  | Rollout;

type ServerSteps = readonly Step[];

/**
 * Service, NetworkPolicy and, for a managed server, the Deployment. In a namespace that no organization serves nothing is made and
 * nothing is taken away: what protects the pods stays, and the broker hands out no keys there.
 */
export function decideServer(observed: ObservedServer, now: Date): Decision<McpServerStatus> {
  const { object } = observed;
  if (object.metadata.deletionTimestamp !== undefined) return { steps: [] };
  const upstream = upstreamOf(object);
  const census = takeCensus(observed.pods, currentTemplateOf(object, observed.injection));
  const finding = find(observed, { upstream, census });
  return {
    steps: stepsFor(observed, upstream),
    status: serverStatus(observed, { upstream, census, finding, now }),
  };
}

export function upstreamOf({ spec }: McpServer): Upstream {
  const { workload, managed } = spec.upstream;
  if (workload !== undefined) return { kind: 'workload', path: workload.path };
  if (managed !== undefined) return { kind: 'managed', path: managed.path, managed };
  return { kind: 'unsupported' };
}

function stepsFor(observed: ObservedServer, upstream: Upstream): ServerSteps {
  if (observed.tenancy.kind !== 'organization') return [];
  if (upstream.kind === 'unsupported') return [];
  const { object, service, networkPolicy, deployment } = observed;
  const managed: ServerSteps =
    upstream.kind === 'managed'
      ? [applyStep(deployments, desiredDeployment(object, upstream.managed), deployment)]
      : removeOwn(object, deployment);
  // The policy comes first: there is no moment at which the Service leads to unprotected pods.
  return [
    applyStep(networkPolicies, desiredNetworkPolicy(object), networkPolicy),
    applyStep(services, desiredService(object), service),
    ...managed,
  ];
}

function applyStep(
  type: Extract<Step, { kind: 'apply' }>['type'],
  desired: Extract<Step, { kind: 'apply' }>['desired'],
  observed: KubeObject | undefined,
): Step {
  return { kind: 'apply', type, desired, ...(observed === undefined ? {} : { observed }) };
}

/** Only a Deployment that this very server owns goes away with `upstream.managed`. */
function removeOwn(server: McpServer, deployment: Deployment | undefined): ServerSteps {
  const { uid } = server.metadata;
  if (deployment?.metadata.ownerReferences?.some((owner) => owner.uid === uid) !== true) return [];
  const { name, namespace = '', uid: preconditionUid = '' } = deployment.metadata;
  return [{ kind: 'delete', type: deployments, ref: { namespace, name }, precondition: { preconditionUid } }];
}

interface Seen {
  readonly upstream: Upstream;
  readonly census: SidecarCensus;
}

function find(observed: ObservedServer, { upstream, census }: Seen): ServerFinding {
  if (observed.tenancy.kind === 'none')
    return { kind: observed.tenancy.excluded === true ? 'excluded' : 'noOrganization' };
  if (observed.tenancy.kind === 'conflict') return { kind: 'conflict', organizations: observed.tenancy.organizations };
  switch (upstream.kind) {
    case 'unsupported':
      return { kind: 'unsupportedUpstream' };
    case 'managed':
      return rolloutOf(upstream.managed, observed.deployment);
    case 'workload':
      return findWorkload(census, observed.readyPods);
    default:
      return upstream satisfies never;
  }
}

/** Only pods that carry the sidecar and that the Service leads to serve anybody. */
function findWorkload({ current, outdated }: SidecarCensus, readyPods: ReadonlySet<string>): ServerFinding {
  const injected = [...current, ...outdated].toSorted();
  if (injected.length === 0) return { kind: 'noPods' };
  const ready = injected.filter((name) => readyPods.has(name));
  return ready.length === 0 ? { kind: 'podsNotReady', pods: injected } : { kind: 'serving', pods: ready.length };
}
