import type { McpServer, McpServerManaged } from '#crds/v1alpha1/generated/mcp-server.ts';
import { apiVersion, labels, serviceName, sidecarPorts } from '#crds/v1alpha1/names.ts';
import type { OwnerReference } from '#crds/v1alpha1/object.ts';

import type { DesiredObject } from '../decision.ts';

/** Name of the managed server's own container. */
export const serverContainerName = 'server';

/** What MCP clients connect to: port 80 of every pod's sidecar, never the server itself. */
export function desiredService(server: McpServer): DesiredObject {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadataOf(server),
    spec: {
      type: 'ClusterIP',
      selector: podLabels(server),
      ports: [{ name: 'http', port: 80, targetPort: sidecarPorts.ingress, protocol: 'TCP', appProtocol: 'http' }],
    },
  };
}

/**
 * Closes every port of the pods but the sidecar's: the server is not to be reached around it. Metrics are for scrapers in namespaces
 * that say so. The kubelet's probes need no rule: traffic from a pod's own node is always let in.
 */
export function desiredNetworkPolicy(server: McpServer): DesiredObject {
  const scrapers = { namespaceSelector: { matchLabels: { [labels.scrape]: 'true' } } };
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: metadataOf(server),
    spec: {
      podSelector: { matchLabels: podLabels(server) },
      policyTypes: ['Ingress'],
      ingress: [
        { ports: [{ protocol: 'TCP', port: sidecarPorts.ingress }] },
        { from: [scrapers], ports: [{ protocol: 'TCP', port: sidecarPorts.metrics }] },
      ],
    },
  };
}

/**
 * The managed server. Its pod gets the sidecar like any other, by its label. There are no probes of the server itself: it may well
 * listen on loopback only, where a kubelet cannot reach it; the sidecar's readiness stands for the pod.
 */
export function desiredDeployment(server: McpServer, managed: McpServerManaged): DesiredObject {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: metadataOf(server),
    spec: {
      replicas: managed.replicas,
      selector: { matchLabels: podLabels(server) },
      template: {
        metadata: { labels: { ...podLabels(server), ...commonLabels(server) } },
        spec: {
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
          containers: [serverContainer(managed)],
        },
      },
    },
  };
}

/** Where clients reach the server from inside the cluster. */
export function urlOf(server: McpServer, path: string): string {
  const { name, namespace = '' } = server.metadata;
  return `http://${serviceName(name)}.${namespace}.svc${path}`;
}

function serverContainer({ image, args, env, port }: McpServerManaged): object {
  return {
    name: serverContainerName,
    image,
    ...(args === undefined || args.length === 0 ? {} : { args }),
    ...(env === undefined || env.length === 0 ? {} : { env: env.map(toEnv) }),
    ports: [{ name: 'mcp', containerPort: port, protocol: 'TCP' }],
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
  };
}

/** The API server drops an empty value; sending one would look like a difference for ever. */
function toEnv({ name, value }: { readonly name: string; readonly value: string }): object {
  return value === '' ? { name } : { name, value };
}

function metadataOf(server: McpServer): DesiredObject['metadata'] {
  const { name, namespace = '' } = server.metadata;
  return {
    name: serviceName(name),
    namespace,
    labels: { ...podLabels(server), ...commonLabels(server) },
    ownerReferences: [ownerOf(server)],
  };
}

function podLabels(server: McpServer): Readonly<Record<string, string>> {
  return { [labels.server]: server.metadata.name };
}

function commonLabels(server: McpServer): Readonly<Record<string, string>> {
  return {
    [labels.managed]: 'true',
    'app.kubernetes.io/name': server.metadata.name,
    'app.kubernetes.io/managed-by': 'mcp-keyring',
  };
}

function ownerOf({ metadata }: McpServer): OwnerReference {
  return { apiVersion, kind: 'McpServer', name: metadata.name, uid: metadata.uid ?? '', controller: true };
}
