import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import { serviceName } from '#crds/v1alpha1/names.ts';
import type { ServerUpstream } from '#contract/watch.ts';
import { caBundleCharsMax } from '#contract/watch.ts';
import type { Store } from '#operator/kube/informer.ts';
import type { ConfigMap } from '#operator/kube/resources.ts';

export interface UpstreamSources {
  /** ConfigMaps with the label for it. */
  readonly caBundles: Pick<Store<ConfigMap>, 'get'>;
  readonly clusterDomain: string;
}

/** Pure. Where proxies outside the server's pod find it; `undefined` where they must not go. */
export function serverUpstream(server: McpServer, from: UpstreamSources): ServerUpstream | undefined {
  const { workload, managed, remote } = server.spec.upstream;
  if (remote !== undefined) return remoteUpstream(server, from);
  const path = (workload ?? managed)?.path ?? '/mcp';
  const { name, namespace = '' } = server.metadata;
  return { kind: 'cluster', url: `http://${serviceName(name)}.${namespace}.svc.${from.clusterDomain}${path}` };
}

function remoteUpstream(server: McpServer, { caBundles }: UpstreamSources): ServerUpstream | undefined {
  const { remote } = server.spec.upstream;
  if (remote === undefined) return undefined;
  const { url, caBundleRef, allowPrivateAddresses } = remote;
  if (caBundleRef === undefined) return { kind: 'remote', url, allowPrivateAddresses };
  const ca = remoteCaBundle(server, caBundles);
  // Never the public roots instead of what is named.
  return ca === undefined ? undefined : { kind: 'remote', url, ca, allowPrivateAddresses };
}

/** Pure. The certificates that the server names, in its own namespace. */
export function remoteCaBundle(server: McpServer, caBundles: Pick<Store<ConfigMap>, 'get'>): string | undefined {
  const ref = server.spec.upstream.remote?.caBundleRef;
  if (ref === undefined) return undefined;
  const bundle = caBundles.get(server.metadata.namespace, ref.name)?.data?.[ref.key];
  return bundle === undefined || bundle.trim() === '' || bundle.length > caBundleCharsMax ? undefined : bundle;
}
