import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import { annotations, labels } from '#crds/v1alpha1/names.ts';
import type { ServerRef } from '#contract/lease.ts';
import type { KeyStore } from '#operator/keystore/key-store.ts';
import type { Change } from '#operator/kube/informer.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import { specChanged } from '#operator/kube/spec-changed.ts';

import type { ReferencedSecrets } from '#operator/shared-keys/referenced-secrets.ts';

import type { BrokerSources } from './sources.ts';
import type { WatchHub } from './watch-hub.ts';

export interface FollowOptions {
  readonly sources: BrokerSources;
  readonly keyStore: Pick<KeyStore, 'onChange' | 'subjectKeyOf'>;
  readonly referencedSecrets: Pick<ReferencedSecrets, 'onChange'>;
  readonly hub: Pick<WatchHub, 'invalidate' | 'invalidateAll' | 'refresh' | 'endPod'>;
}

/** Turns what happens in the cluster into what sidecars have to hear. More than needed does no harm; less would. */
export function followSources({ sources, keyStore, referencedSecrets, hub }: FollowOptions): void {
  keyStore.onChange(({ server, subjectKey }) => hub.invalidate(server, subjectKey));

  // The key of everybody at the server may be another one now, or be of use no more.
  referencedSecrets.onChange(({ namespace, name }) =>
    hub.invalidateAll((server) => server.namespace === namespace && server.name === name),
  );

  sources.userKeys.onChange((change) => {
    if (!userKeyMatters(change)) return;
    const { metadata, spec } = change.object;
    const server = { namespace: metadata.namespace ?? '', name: spec.serverRef.name };
    hub.invalidate(server, keyStore.subjectKeyOf(spec.subject));
  });

  sources.mcpServers.onChange((change) => {
    if (!specMatters(change)) return;
    const { namespace, name } = change.object.metadata;
    const isThis = (server: { readonly namespace: string; readonly name: string }): boolean =>
      server.namespace === namespace && server.name === name;
    // The template of a header is not in the snapshot, but in every lease.
    hub.invalidateAll(isThis);
    hub.refresh(isThis);
  });

  sources.userKeyPolicies.onChange((change) => {
    if (!specMatters(change)) return;
    const isThere = ({ namespace }: ServerRef): boolean => namespace === change.object.metadata.namespace;
    if (reachesLeases(change)) hub.invalidateAll(isThere);
    hub.refresh(isThere);
  });

  // A new one is not known to anybody; one that has changed only in its status is as good as before.
  sources.accessTokens.onChange((change) => {
    if (change.kind === 'added' || !specMatters(change)) return;
    const { metadata, spec } = change.object;
    for (const name of spec.servers) {
      hub.invalidate({ namespace: metadata.namespace ?? '', name }, keyStore.subjectKeyOf(spec.owner));
    }
  });

  // Who is trusted may be another one now, in namespaces that only the selectors know.
  sources.organizations.onChange((change) => {
    if (!specMatters(change)) return;
    hub.invalidateAll(() => true);
    hub.refresh(() => true);
  });

  sources.caBundles.onChange(({ object }) => hub.refresh(({ namespace }) => namespace === object.metadata.namespace));

  sources.namespaces.onChange((change) => {
    const { name } = change.object.metadata;
    if (!specMatters(change)) return;
    const isThere = ({ namespace }: ServerRef): boolean => namespace === name;
    hub.invalidateAll(isThere);
    hub.refresh(isThere);
    // Agents there may call servers elsewhere, of the same organization: they prove themselves again.
    for (const { metadata } of sources.agentPods.store.listNamespace(name)) hub.endPod(metadata.uid ?? '');
  });

  for (const pods of [sources.pods, sources.agentPods, sources.gatewayPods]) {
    pods.onChange((change) => {
      const { uid } = change.object.metadata;
      if (uid !== undefined && podLost(change)) hub.endPod(uid);
    });
  }
}

/** Whether the policy says, or said, what is not in the snapshot, but in every lease. */
function reachesLeases(change: Change<UserKeyPolicy>): boolean {
  return isInLeases(change.object) || (change.kind === 'updated' && isInLeases(change.previous));
}

function isInLeases({ spec: { subjects, expiry, approval } }: UserKeyPolicy): boolean {
  return subjects !== undefined || expiry !== undefined || approval !== undefined;
}

/** Status changes all the time and decides nothing here. */
function specMatters(change: Change<KubeObject>): boolean {
  if (change.kind !== 'updated') return true;
  const { object, previous } = change;
  return specChanged(change) || object.metadata.deletionTimestamp !== previous.metadata.deletionTimestamp;
}

/** Of the status, the state, the version and what was found out or decided about it decide about a lease. */
function userKeyMatters(change: Change<UserKey>): boolean {
  if (change.kind !== 'updated' || specMatters(change)) return true;
  return leaseFacts(change.object) !== leaseFacts(change.previous);
}

function leaseFacts({ status = {} }: UserKey): string {
  const { state, version, rejected, revoked, verification, approval } = status;
  return [
    state,
    version,
    rejected?.version,
    revoked?.version,
    verification?.version,
    verification?.verdict,
    approval?.state,
    approval?.at,
    approval?.until,
  ].join(' ');
}

const provingLabels = [labels.server, labels.agent, labels.gateway, labels.injected] as const;

/** A pod that is gone, or that no longer says that it carries this sidecar. */
function podLost(change: Change<KubeObject>): boolean {
  if (change.kind !== 'updated') return change.kind === 'deleted';
  const now = change.object.metadata;
  const before = change.previous.metadata;
  return (
    provingLabels.some((label) => now.labels?.[label] !== before.labels?.[label]) ||
    now.annotations?.[annotations.injectedServers] !== before.annotations?.[annotations.injectedServers]
  );
}
