import type { ServerRef } from '#contract/lease.ts';
import { annotations, labels } from '#crds/v1alpha1/names.ts';
import type { KubeObject } from '#operator/kube/resource.ts';

/** What the proxy in a pod is there for: it stands in front of a server, beside an agent that calls servers, or is the gateway. */
export type PodRole = 'server' | 'agent' | 'gateway';

/**
 * `leasing`: the pod may be given keys, and say what became of them. `watching`: it may be given policy. `reporting`: it may hand in
 * what it did, which it still has to while it terminates.
 */
export type PodPurpose = 'leasing' | 'watching' | 'reporting';

/** Why a pod may not act for a server, whatever its role. */
export type RoleRefusal =
  | 'NamespaceMismatch'
  | 'PodTerminating'
  | 'PodNotInjected'
  | 'PodRoleAmbiguous'
  | 'PodServesAnotherServer'
  | 'ServerNotInjected'
  | 'ServerOfAnotherOrganization'
  | 'ServerNotRemote'
  | 'ServerIsRemote';

/** What is looked up beside the pod itself. Caches answer. */
export interface RoleWorld {
  /** `undefined`: the namespace belongs to none, or to several, or admission does not look there. */
  readonly organizationOf: (namespace: string) => string | undefined;
  /** Whether the server runs outside the cluster. */
  readonly isRemote: (server: ServerRef) => boolean;
  /** Where gateways run, and nobody but the administrators of the cluster runs anything. */
  readonly operatorNamespace: string;
}

export interface PodAction {
  readonly server: ServerRef;
  readonly purpose: PodPurpose;
}

export type RoleVerdict =
  | { readonly kind: 'may'; readonly role: PodRole }
  | { readonly kind: 'mayNot'; readonly refusal: RoleRefusal };

/** Pure. Labels and annotations are those that admission keeps others from writing. */
export function judgeRole({ metadata }: KubeObject, action: PodAction, world: RoleWorld): RoleVerdict {
  if (action.purpose !== 'reporting' && metadata.deletionTimestamp !== undefined) return mayNot('PodTerminating');
  if (isGateway(metadata, world)) return judgeGateway(action, world);
  if (metadata.labels?.[labels.injected] !== 'true') return mayNot('PodNotInjected');
  if (metadata.labels[labels.agent] === undefined) return judgeServer(metadata, action, world);
  if (metadata.labels[labels.server] !== undefined) return mayNot('PodRoleAmbiguous');
  return judgeAgent(metadata, action, world);
}

/** The label counts in that namespace only: elsewhere anybody may write it. */
function isGateway({ namespace, labels: podLabels }: KubeObject['metadata'], world: RoleWorld): boolean {
  return namespace === world.operatorNamespace && podLabels?.[labels.gateway] === 'true';
}

/** A gateway acts for every server, and like an agent it gets no key of one in the cluster. */
function judgeGateway({ server, purpose }: PodAction, world: RoleWorld): RoleVerdict {
  if (purpose === 'leasing' && !world.isRemote(server)) return mayNot('ServerNotRemote');
  return { kind: 'may', role: 'gateway' };
}

/** A pod that was in front of a server which is remote now has nothing to put a key on. */
function judgeServer(metadata: KubeObject['metadata'], { server, purpose }: PodAction, world: RoleWorld): RoleVerdict {
  if (metadata.namespace !== server.namespace) return mayNot('NamespaceMismatch');
  if (metadata.labels?.[labels.server] !== server.name) return mayNot('PodServesAnotherServer');
  if (purpose === 'leasing' && world.isRemote(server)) return mayNot('ServerIsRemote');
  return { kind: 'may', role: 'server' };
}

/** An agent acts for the servers that it was injected with. */
function judgeAgent(metadata: KubeObject['metadata'], action: PodAction, world: RoleWorld): RoleVerdict {
  const { server, purpose } = action;
  if (metadata.labels?.[labels.agent] !== 'true') return mayNot('PodNotInjected');
  const injected = metadata.annotations?.[annotations.injectedServers]?.split(',') ?? [];
  if (!injected.includes(`${server.namespace}/${server.name}`)) return mayNot('ServerNotInjected');
  // What it did has happened, and is to be on record whatever was changed since.
  if (purpose === 'reporting') return { kind: 'may', role: 'agent' };
  if (!isOneOrganization([metadata.namespace ?? '', server.namespace], world)) {
    return mayNot('ServerOfAnotherOrganization');
  }
  // Of a server in the cluster it gets no key: the sidecar of that server adds it.
  if (purpose === 'leasing' && !world.isRemote(server)) return mayNot('ServerNotRemote');
  return { kind: 'may', role: 'agent' };
}

/** Looked at each time, because labels of namespaces change. */
function isOneOrganization(namespaces: readonly [string, string], world: RoleWorld): boolean {
  const [one, other] = namespaces.map(world.organizationOf);
  return one !== undefined && one === other;
}

function mayNot(refusal: RoleRefusal): RoleVerdict {
  return { kind: 'mayNot', refusal };
}
