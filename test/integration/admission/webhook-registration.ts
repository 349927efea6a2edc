/** Objects of the chart that admission needs, with webhooks called by URL, as there are no Services without nodes. */

const admissionApi = 'admissionregistration.k8s.io/v1';

export interface Registration {
  readonly name: string;
  readonly webhookName: string;
  readonly url: string;
  /** Base64. */
  readonly caBundle?: string;
}

/** One webhook for servers and one for agents. */
export function webhookConfiguration({ name, webhookName, url, caBundle }: Registration): object {
  const webhook = (label: string, prefix: string): object => ({
    name: `${prefix}${webhookName}`,
    admissionReviewVersions: ['v1'],
    sideEffects: 'None',
    failurePolicy: 'Ignore',
    timeoutSeconds: 5,
    matchPolicy: 'Equivalent',
    reinvocationPolicy: 'IfNeeded',
    clientConfig: { url, ...(caBundle === undefined ? {} : { caBundle }) },
    rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'], scope: 'Namespaced' }],
    objectSelector: { matchExpressions: [{ key: label, operator: 'Exists' }] },
  });
  return {
    apiVersion: admissionApi,
    kind: 'MutatingWebhookConfiguration',
    metadata: { name },
    webhooks: [webhook('mcpkeyring.io/server', ''), webhook('mcpkeyring.io/agent', 'agent-')],
  };
}

export const operatorObjects: readonly object[] = [
  { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'mcp-keyring' } },
  {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'mcp-keyring-tls', namespace: 'mcp-keyring' },
  },
];

export function injectionConfigMap(sidecarImage: string): object {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'mcp-keyring-injection', namespace: 'mcp-keyring' },
    data: { sidecarImage, sidecarRunAsUser: '65532' },
  };
}

/** A namespace with what pods in it refer to. */
export function teamNamespace(name: string, labels: Readonly<Record<string, string>> = {}): readonly object[] {
  const serviceAccount = (account: string): object => ({
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: account, namespace: name },
  });
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } },
    serviceAccount('default'),
    serviceAccount('weather'),
    mcpServer(name, 'weather', { workload: { port: 8080 } }),
    mcpServer(name, 'managed', { managed: { image: 'registry.example.com/managed:1', port: 9000 } }),
    mcpServer(name, 'remote', { remote: { url: 'https://mcp.example.com/mcp' } }),
    mcpServer(name, 'odd-path', { workload: { port: 8080, path: '/$(KUBERNETES_PORT)/mcp' } }),
  ];
}

/** Namespaces with servers that agents of another one ask for; `team-x` is of another organization. */
export const foreignTeams: readonly object[] = [
  ...['team-b', 'team-x'].map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })),
  mcpServer('team-b', 'remote', { remote: { url: 'https://b.example.com/mcp' } }),
  mcpServer('team-b', 'issue-tracker', { remote: { url: 'https://issues.example.com/mcp' } }),
  mcpServer('team-x', 'payroll', { remote: { url: 'https://payroll.example.com/mcp' } }),
];

function mcpServer(namespace: string, name: string, upstream: object): object {
  const authentication = { headers: [{ name: 'X-API-Key', title: 'API key' }] };
  return {
    apiVersion: 'mcpkeyring.io/v1alpha1',
    kind: 'McpServer',
    metadata: { name, namespace },
    spec: { upstream, authentication },
  };
}

export function asList(objects: readonly object[]): string {
  return JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
}
