import { caConfigMapName } from '#crds/v1alpha1/names.ts';
import { CertificateKeeper } from '#operator/certificates/keeper.ts';
import { type KeeperLoop, startKeeperLoop } from '#operator/certificates/keeper-loop.ts';
import { defaultLifetimes } from '#operator/certificates/lifetimes.ts';
import { certificateMetrics } from '#operator/certificates/metrics.ts';
import { ServingCertificate } from '#operator/certificates/serving-certificate.ts';
import { servingDnsNames } from '#operator/certificates/serving-names.ts';
import type { Informer, Store } from '#operator/kube/informer.ts';
import type { ConfigMap } from '#operator/kube/resources.ts';

import type { Informers } from './informers.ts';
import type { Platform } from './platform.ts';

export interface Certificates {
  readonly serving: ServingCertificate;
  readonly loop: KeeperLoop;
}

/** On every replica: whoever comes first fills the empty Secret, the leader keeps it. */
export function startCertificates(platform: Platform, informers: Informers, isLeader: () => boolean): Certificates {
  const { options, client, clock, log, metrics } = platform;
  const certificates = certificateMetrics(metrics.registry);
  const common = { operatorNamespace: options.namespace, log, metrics: certificates };
  const serving = new ServingCertificate({ ...common, secrets: informers.tlsSecret });
  // A gateway is what needs the bundle there.
  const home = options.gatewayUrl === undefined ? undefined : options.namespace;
  const keeper = new CertificateKeeper({
    ...common,
    client,
    secrets: informers.tlsSecret,
    webhooks: informers.webhooks,
    caConfigMaps: ownCaConfigMaps(informers, home),
    publishesAtHome: home !== undefined,
    dnsNames: servingDnsNames(options.namespace, options.clusterDomain),
    lifetimes: defaultLifetimes,
    isLeader,
    wallClockMs: () => Date.now(),
  });
  const watched = [informers.tlsSecret, informers.webhooks, informers.caConfigMaps];
  return { serving, loop: startKeeperLoop({ keeper, informers: watched, clock, log }) };
}

/**
 * Only those that an existing Organization owns, and the one at home: somebody else's ConfigMap of the same name is never brought up to date, and
 * waiting for it would hold up the next CA for ever.
 */
function ownCaConfigMaps(
  { caConfigMaps, organizations }: Informers,
  home: string | undefined,
): Pick<Informer<ConfigMap>, 'store' | 'hasSynced'> {
  const isOwned = ({ metadata }: ConfigMap): boolean =>
    metadata.ownerReferences?.some(({ uid }) => organizations.store.getByUid(uid) !== undefined) === true;
  const isOurs = (configMap: ConfigMap): boolean =>
    configMap.metadata.name === caConfigMapName && (configMap.metadata.namespace === home || isOwned(configMap));
  const store: Store<ConfigMap> = {
    get: (namespace, name) => caConfigMaps.store.get(namespace, name),
    getByUid: (uid) => caConfigMaps.store.getByUid(uid),
    list: () => caConfigMaps.store.list().filter(isOurs),
    listNamespace: (namespace) => caConfigMaps.store.listNamespace(namespace).filter(isOurs),
    get size() {
      return caConfigMaps.store.list().filter(isOurs).length;
    },
  };
  return {
    store,
    get hasSynced() {
      return caConfigMaps.hasSynced && organizations.hasSynced;
    },
  };
}
