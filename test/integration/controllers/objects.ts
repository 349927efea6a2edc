import { currentTemplateHash } from '#operator/admission/inject/template.ts';
import type { Condition } from '#crds/v1alpha1/object.ts';
import type { ControlPlane } from '#test/support/control-plane.ts';

/** Objects as a user writes them; the API server fills in the rest. */

export function organization(name: string, spec: object = {}): object {
  return {
    apiVersion: 'mcpkeyring.io/v1alpha1',
    kind: 'Organization',
    metadata: { name },
    spec: {
      namespaceSelector: { matchLabels: { org: name } },
      identity: { issuers: [{ name: 'cluster', type: 'Kubernetes', audiences: ['keyring'] }] },
      ...spec,
    },
  };
}

export function namespace(name: string, labels: object): object {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}

export function server(inNamespace: string, name: string, spec: object = {}): object {
  return {
    apiVersion: 'mcpkeyring.io/v1alpha1',
    kind: 'McpServer',
    metadata: { name, namespace: inNamespace },
    spec: {
      upstream: { workload: { port: 8080 } },
      authentication: {
        headers: [
          { name: 'Authorization', template: 'Bearer {value}' },
          { name: 'X-Team', required: false },
        ],
      },
      ...spec,
    },
  };
}

/** A pod as the injector leaves it, with a sidecar that was made from `sidecarImage`. */
export function pod(inNamespace: string, name: string, change: { server: string; sidecarImage: string }): object {
  const target = { namespace: inNamespace, name: change.server, port: 8080, path: '/mcp' };
  const brokerUrl = 'https://mcp-keyring-broker.mcp-keyring.svc:443';
  const template = currentTemplateHash({}, target, { sidecarImage: change.sidecarImage, runAsUser: 65_532, brokerUrl });
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: inNamespace,
      labels: { 'mcpkeyring.io/server': change.server, 'mcpkeyring.io/injected': 'true' },
      annotations: { 'mcpkeyring.io/sidecar-status': JSON.stringify({ version: 1, template }) },
    },
    spec: { containers: [{ name: 'app', image: 'registry.example.com/app:1' }] },
  };
}

/** What the endpoint controller, which a control plane without nodes lacks, makes of ready pods. */
export function endpointSlice(
  inNamespace: string,
  serverName: string,
  ready: Readonly<Record<string, boolean>>,
): object {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${serverName}-mcp-1`,
      namespace: inNamespace,
      labels: {
        'kubernetes.io/service-name': `${serverName}-mcp`,
        'mcpkeyring.io/managed': 'true',
        'mcpkeyring.io/server': serverName,
      },
    },
    addressType: 'IPv4',
    endpoints: Object.entries(ready).map(([name, isReady], index) => ({
      addresses: [`10.1.0.${index + 1}`],
      conditions: { ready: isReady },
      targetRef: { kind: 'Pod', name, namespace: inNamespace },
    })),
  };
}

export interface Found {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly generation?: number;
    readonly finalizers?: readonly string[];
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly conditions?: readonly Condition[];
    readonly [field: string]: unknown;
  };
  readonly [field: string]: unknown;
}

/** What is there, or undefined. */
export async function find(plane: ControlPlane, ...what: readonly string[]): Promise<Found | undefined> {
  const output = await plane.kubectl(['get', ...what, '--ignore-not-found', '-o', 'json']);
  return output.trim() === '' ? undefined : (JSON.parse(output) as Found);
}

/** `Ready=True/Serving …` in the order of their names. */
export function brief(found: Found | undefined): string {
  return (found?.status?.conditions ?? [])
    .map(({ type, status, reason }) => `${type}=${status}/${reason}`)
    .toSorted()
    .join(' ');
}
