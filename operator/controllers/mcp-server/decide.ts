import type { McpServer, McpServerManaged, McpServerStatus } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import { deployments, networkPolicies, services } from '#operator/kube/resources.ts';

import type { Decision, Step } from '../decision.ts';
import type { ObservedServer } from './observe.ts';
import { desiredDeployment, desiredNetworkPolicy, desiredService } from './resources.ts';
import { type Rollout, rolloutOf } from './rollout.ts';
import { currentTemplateOf, type SidecarCensus, takeCensus } from './sidecars.ts';
import { serverStatus } from './status.ts';

/** Where the server runs. */
export type Upstream =
  | { readonly kind: 'workload'; readonly path: string }
  | { readonly kind: 'managed'; readonly path: string; readonly managed: McpServerManaged }
  | { readonly kind: 'remote' };

/** How the server fares. Only `serving` means that users are. */
export type ServerFinding =
  | { readonly kind: 'noOrganization' }
  | { readonly kind: 'excluded' }
  | { readonly kind: 'conflict'; readonly organizations: readonly string[] }
  | { readonly kind: 'servedToAgentsOnly' }
  | { readonly kind: 'gatewayNotReady' }
  | { readonly kind: 'caBundleMissing'; readonly configMap: string; readonly key: string }
  | { readonly kind: 'servedByGateway' }
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
  return { kind: 'remote' };
}

function stepsFor(observed: ObservedServer, upstream: Upstream): ServerSteps {
  if (observed.tenancy.kind !== 'organization') return [];
  const { object, service, networkPolicy, deployment } = observed;
  if (upstream.kind === 'remote') return stepsForRemote(observed);
  const managed: ServerSteps =
    upstream.kind === 'managed'
      ? [applyStep(deployments, desiredDeployment(object, upstream.managed), deployment)]
      : removeOwn(object, deployments, deployment);
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

/** What was made while the server ran in the cluster goes away; pods of then stay closed for as long as there are any. */
function stepsForRemote({ object, pods, service, networkPolicy, deployment }: ObservedServer): ServerSteps {
  return [
    ...removeOwn(object, services, service),
    ...removeOwn(object, deployments, deployment),
    ...(pods.length === 0 ? removeOwn(object, networkPolicies, networkPolicy) : []),
  ];
}

type Removal = Extract<Step, { kind: 'delete' }>;

/** Only what this very server owns is taken away. */
function removeOwn(server: McpServer, type: Removal['type'], found: KubeObject | undefined): ServerSteps {
  const { uid } = server.metadata;
  if (found?.metadata.ownerReferences?.some((owner) => owner.uid === uid) !== true) return [];
  const { name, namespace = '', uid: preconditionUid = '' } = found.metadata;
  return [{ kind: 'delete', type, ref: { namespace, name }, precondition: { preconditionUid } }];
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
    case 'remote':
      return findRemote(observed);
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

/**
 * The gateway is what serves it, and agents call it from their own pods; whether the server itself answers is seen by its users only, as
 * there is no key to ask it with.
 */
function findRemote({ object, gateway, caBundle }: ObservedServer): ServerFinding {
  const ref = object.spec.upstream.remote?.caBundleRef;
  if (ref !== undefined && caBundle === undefined)
    return { kind: 'caBundleMissing', configMap: ref.name, key: ref.key };
  if (gateway === undefined) return { kind: 'servedToAgentsOnly' };
  return gateway.ready ? { kind: 'servedByGateway' } : { kind: 'gatewayNotReady' };
}
