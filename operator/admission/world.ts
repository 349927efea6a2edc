import type { Informer, Store } from '#operator/kube/informer.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import type { ConfigMap } from '#operator/kube/resources.ts';

import { organizationNameOf, type TenancyIndex } from '#operator/tenancy/tenancy.ts';

import type { InjectionWorld } from './inject/plan.ts';
import type { InjectableServer } from './inject/template.ts';
import { injectionConfigMapName, readInjectionSettings } from './settings.ts';

export interface InjectionWorldOptions {
  /** McpServers of the whole cluster. */
  readonly servers: Pick<Informer<KubeObject & InjectableServer>, 'store' | 'hasSynced'>;
  /** Must hold ConfigMap `mcp-keyring-injection` of the operator's namespace. */
  readonly configMaps: Pick<Informer<ConfigMap>, 'store' | 'hasSynced'>;
  readonly tenancy: TenancyIndex;
  readonly operatorNamespace: string;
  readonly brokerUrl: string;
  readonly injectorVersion: string;
}

/** A view of the caches as they are now; made anew for every question, and cheap. */
export function observeInjectionWorld(options: InjectionWorldOptions): InjectionWorld {
  const { servers, configMaps, tenancy } = options;
  const isSynced = servers.hasSynced && configMaps.hasSynced;
  const reading = readInjectionSettings(
    injectionConfigMap(configMaps.store, options.operatorNamespace),
    options.brokerUrl,
  );
  return {
    findServer: (namespace, name) => servers.store.get(namespace, name),
    remoteServersIn: (namespace) =>
      servers.store
        .listNamespace(namespace)
        .filter(({ spec }) => spec.upstream.remote !== undefined)
        .map(({ metadata }) => metadata.name),
    organizationOf: (namespace) => organizationNameOf(tenancy, namespace),
    settings: isSynced && reading.kind === 'settings' ? reading.settings : undefined,
    injectorVersion: options.injectorVersion,
  };
}

function injectionConfigMap(store: Store<ConfigMap>, namespace: string): ConfigMap | undefined {
  return store.get(namespace, injectionConfigMapName);
}
