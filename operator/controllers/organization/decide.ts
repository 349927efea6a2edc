import type { OrganizationStatus } from '#crds/v1alpha1/generated/organization.ts';
import type { KubeObject, ResourceType } from '#operator/kube/resource.ts';
import { configMaps, roleBindings } from '#operator/kube/resources.ts';

import type { Decision, Step } from '../decision.ts';
import type { OidcIssuer } from './issuer-prober.ts';
import type { ObservedIssuer, ObservedOrganization } from './observe.ts';
import { desiredAdminsBinding, desiredCaConfigMap } from './resources.ts';
import { organizationStatus } from './status.ts';

/** What only this controller does, beside plain writes. */
export interface OrganizationAction {
  readonly kind: 'probeIssuer';
  readonly issuer: OidcIssuer;
}

type OrganizationSteps = readonly Step<OrganizationAction>[];

/** The CA where sidecars will need it, and questions to the issuers that are due. */
export function decideOrganization(
  observed: ObservedOrganization,
  now: Date,
): Decision<OrganizationStatus, OrganizationAction> {
  if (observed.object.metadata.deletionTimestamp !== undefined) return { steps: [] };
  const requeueAfterMs = nextProbeInMs(observed.issuers);
  return {
    // Rights last: where they cannot be given, everything else is done.
    steps: [...publishSteps(observed), ...probeSteps(observed.issuers), ...adminSteps(observed)],
    status: organizationStatus(observed, now),
    ...(requeueAfterMs === undefined ? {} : { requeueAfterMs }),
  };
}

/**
 * In a contested namespace nothing new is published, but what is there stays and is kept current: taking the CA away would break
 * pods over a mistake in a label, and an old one would hold up the next CA. A ConfigMap that somebody else made under that name is
 * taken over: sidecars must trust our CA only.
 */
function publishSteps(observed: ObservedOrganization): OrganizationSteps {
  const { object, namespaces, caBundle, published } = observed;
  if (caBundle === undefined) return [];
  const ours = published.filter(({ metadata }) => isOwnedBy(metadata, object.metadata.uid));
  const present = new Set(ours.map(({ metadata }) => metadata.namespace));
  const wanted = namespaces
    .filter(({ needsCa, terminating }) => needsCa && !terminating)
    .filter(({ name, rivals }) => rivals.length === 0 || present.has(name))
    .map(({ name }) => name);
  const applied = wanted.map((namespace): Step<OrganizationAction> => {
    const desired = desiredCaConfigMap(object, namespace, caBundle);
    const found = published.find(({ metadata }) => metadata.namespace === namespace);
    return {
      kind: 'apply',
      type: configMaps,
      desired,
      adopts: true,
      ...(found === undefined ? {} : { observed: found }),
    };
  });
  const left = ours.filter(({ metadata }) => !wanted.includes(metadata.namespace ?? ''));
  return [...applied, ...left.map((configMap) => deleteStep(configMaps, configMap))];
}

/**
 * Only where the namespace is ours beyond doubt, because it is about rights. Kubernetes lets nobody change the role of a binding,
 * and a policy keeps the name for us, so what somebody else made under it before stays, and the step says so.
 */
function adminSteps({ object, namespaces, adminBindings }: ObservedOrganization): OrganizationSteps {
  const { users = [], groups = [] } = object.spec.admins ?? {};
  const served = namespaces.filter(({ rivals, terminating }) => rivals.length === 0 && !terminating);
  const wanted = users.length + groups.length === 0 ? [] : served.map(({ name }) => name);
  const applied = wanted.map((namespace): Step<OrganizationAction> => {
    const desired = desiredAdminsBinding(object, namespace);
    const found = adminBindings.find(({ metadata }) => metadata.namespace === namespace);
    return {
      kind: 'apply',
      type: roleBindings,
      desired,
      adopts: true,
      ...(found === undefined ? {} : { observed: found }),
    };
  });
  const left = adminBindings.filter(
    ({ metadata }) => isOwnedBy(metadata, object.metadata.uid) && !wanted.includes(metadata.namespace ?? ''),
  );
  return [...applied, ...left.map((binding) => deleteStep(roleBindings, binding))];
}

function isOwnedBy({ ownerReferences }: KubeObject['metadata'], uid: string | undefined): boolean {
  return ownerReferences?.some((owner) => owner.uid === uid) === true;
}

function deleteStep(type: ResourceType, { metadata }: KubeObject): Step<OrganizationAction> {
  const { name, namespace = '', uid: preconditionUid = '' } = metadata;
  return { kind: 'delete', type, ref: { namespace, name }, precondition: { preconditionUid } };
}

function probeSteps(issuers: readonly ObservedIssuer[]): OrganizationSteps {
  return issuers.flatMap((observed): OrganizationSteps => {
    if (observed.kind !== 'oidc' || observed.probe.dueInMs !== 0) return [];
    return [{ kind: 'act', action: { kind: 'probeIssuer', issuer: observed.issuer } }];
  });
}

/** Those due now are asked now, and their answer brings us back by itself. */
function nextProbeInMs(issuers: readonly ObservedIssuer[]): number | undefined {
  const waits = issuers.flatMap((observed) => {
    const dueInMs = observed.kind === 'oidc' ? observed.probe.dueInMs : undefined;
    return dueInMs === undefined || dueInMs === 0 ? [] : [dueInMs];
  });
  return waits.length === 0 ? undefined : Math.min(...waits);
}
