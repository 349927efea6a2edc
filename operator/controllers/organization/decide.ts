import type { OrganizationStatus } from '#crds/v1alpha1/generated/organization.ts';
import { configMaps, type ConfigMap } from '#operator/kube/resources.ts';

import type { Decision, Step } from '../decision.ts';
import type { OidcIssuer } from './issuer-prober.ts';
import type { ObservedIssuer, ObservedOrganization } from './observe.ts';
import { desiredCaConfigMap } from './resources.ts';
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
    steps: [...publishSteps(observed), ...probeSteps(observed.issuers)],
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
  return [...applied, ...left.map(deleteStep)];
}

function isOwnedBy({ ownerReferences }: ConfigMap['metadata'], uid: string | undefined): boolean {
  return ownerReferences?.some((owner) => owner.uid === uid) === true;
}

function deleteStep({ metadata }: ConfigMap): Step<OrganizationAction> {
  const { name, namespace = '', uid: preconditionUid = '' } = metadata;
  return { kind: 'delete', type: configMaps, ref: { namespace, name }, precondition: { preconditionUid } };
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
