import { type ConditionReason, conditionReasons, type KeyringCondition } from '#crds/v1alpha1/conditions.ts';
import type { OrganizationStatus } from '#crds/v1alpha1/generated/organization.ts';

import { someOf, stampConditions } from '../conditions.ts';
import type { ObservedIssuer, ObservedOrganization, SelectedNamespace } from './observe.ts';

export function organizationStatus(observed: ObservedOrganization, now: Date): OrganizationStatus {
  const { object, namespaces, excluded, issuers, kekId } = observed;
  const { generation } = object.metadata;
  const conflict = namespacesConflict(namespaces);
  const reachable = lastAnswer(observed) ?? issuersReachable(issuers);
  const conditions = [
    ready(namespaces, conflict, reachable),
    reachable,
    conflict,
    namespacesExcluded(excluded),
    keyProtection(),
  ];
  return {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    namespaces: namespaces.filter(({ rivals }) => rivals.length === 0).length,
    encryption: { provider: 'local', ...(kekId === undefined ? {} : { keyId: kekId }) },
    conditions: stampConditions(conditions, { previous: object.status?.conditions, generation, now }),
  };
}

function ready(
  namespaces: readonly SelectedNamespace[],
  conflict: KeyringCondition,
  reachable: KeyringCondition,
): KeyringCondition {
  const type = 'Ready';
  if (conflict.status === 'True') {
    return { type, status: 'False', reason: 'NamespacesConflict', message: conflict.message };
  }
  if (reachable.status === 'False') {
    return { type, status: 'False', reason: 'IssuersUnreachable', message: reachable.message };
  }
  if (reachable.status === 'Unknown') {
    return { type, status: 'Unknown', reason: 'CheckingIssuers', message: reachable.message };
  }
  const served = namespaces.map(({ name }) => name).toSorted();
  const message =
    served.length === 0
      ? 'No namespace has the labels of spec.namespaceSelector yet; label one to serve its McpServers'
      : `Serves ${served.length === 1 ? 'namespace' : `${served.length} namespaces:`} ${someOf(served)}`;
  return { type, status: 'True', reason: 'Serving', message };
}

function namespacesConflict(namespaces: readonly SelectedNamespace[]): KeyringCondition {
  const type = 'NamespacesConflict';
  const contested = namespaces.filter(({ rivals }) => rivals.length > 0);
  if (contested.length === 0) {
    return { type, status: 'False', reason: 'NoConflict', message: 'No namespace is selected by another Organization' };
  }
  const names = contested.map(({ name, rivals }) => `${name} (${someOf(rivals)})`).toSorted();
  const message =
    `Selected by another Organization too, so served by nobody: ${someOf(names)}; ` +
    'change a namespaceSelector or the labels of the namespace';
  return { type, status: 'True', reason: 'SelectedByAnother', message };
}

function namespacesExcluded(excluded: readonly string[]): KeyringCondition {
  const type = 'NamespacesExcluded';
  if (excluded.length === 0) {
    return { type, status: 'False', reason: 'NoneExcluded', message: 'Every selected namespace can be served' };
  }
  const message =
    `Selected, and never served because admission does not look there: ${someOf(excluded.toSorted())}; ` +
    'write spec.namespaceSelector so that it leaves them out';
  return { type, status: 'True', reason: 'AdmissionDoesNotLook', message };
}

/** A new leader has asked nobody yet: until it has, what the last one found about the same spec stands. */
function lastAnswer({ object, issuers }: ObservedOrganization): KeyringCondition | undefined {
  if (!issuers.some((observed) => observed.kind === 'oidc' && observed.probe.result === undefined)) return undefined;
  const last = object.status?.conditions?.find(({ type }) => type === 'IssuersReachable');
  if (last === undefined || last.observedGeneration !== object.metadata.generation) return undefined;
  const { status, message } = last;
  const reason = Object.keys(conditionReasons).find((known): known is ConditionReason => known === last.reason);
  return reason === undefined ? undefined : { type: 'IssuersReachable', status, reason, message };
}

type Trouble = { readonly reason: ConditionReason; readonly message: string };

function issuersReachable(issuers: readonly ObservedIssuer[]): KeyringCondition {
  const type = 'IssuersReachable';
  const troubles = issuers.flatMap(troubleOf);
  const [first] = troubles;
  if (first !== undefined) {
    const message = troubles.map((trouble) => trouble.message).join('; ');
    return { type, status: 'False', reason: first.reason, message };
  }
  const asked = issuers.flatMap((observed) => (observed.kind === 'oidc' ? [observed] : []));
  const pending = asked.filter(({ probe }) => probe.result === undefined).map(({ issuer }) => issuer.issuerURL);
  if (pending.length > 0) {
    return { type, status: 'Unknown', reason: 'Checking', message: `Waiting for an answer of ${someOf(pending)}` };
  }
  if (asked.length === 0) {
    return { type, status: 'True', reason: 'NoOIDCIssuers', message: 'There is no OIDC issuer to reach' };
  }
  const message = `Answered: ${someOf(asked.map(({ issuer }) => issuer.issuerURL))}`;
  return { type, status: 'True', reason: 'AllReachable', message };
}

function troubleOf(observed: ObservedIssuer): readonly Trouble[] {
  switch (observed.kind) {
    case 'kubernetes':
      return [];
    case 'caBundleMissing': {
      const { name, configMap, key } = observed;
      const message = `Issuer ${name}: ConfigMap ${configMap} with key ${key} is not in the operator's namespace; create it there`;
      return [{ reason: 'CABundleNotFound', message }];
    }
    case 'clusterIssuer': {
      const message = `Issuer ${observed.name}: its issuerURL is this cluster's own; write type: Kubernetes instead, so that the API server checks its tokens`;
      return [{ reason: 'IssuerIsCluster', message }];
    }
    case 'oidc': {
      const { issuer, probe } = observed;
      if (probe.result?.kind !== 'unreachable') return [];
      const { reason, message } = probe.result;
      return [{ reason, message: `Issuer ${issuer.name} at ${issuer.issuerURL}: ${message}` }];
    }
    default:
      return observed satisfies never;
  }
}

/** Said everywhere, so that nobody takes separation for protection. */
function keyProtection(): KeyringCondition {
  const message =
    'Data keys are wrapped with a key in Secret mcp-keyring-kek of this cluster: who reads that Secret and the sealed keys can open them';
  return { type: 'KeyProtection', status: 'False', reason: 'LocalKEK', message };
}
