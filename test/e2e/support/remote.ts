import { makeTestCertificate } from '#test/support/test-certificates.ts';
import { apply, kubectl } from './cluster.ts';
import { namespace } from './users.ts';

/** A namespace that no organization has: what runs there is a server of somebody else. */
const outside = 'mcp-remote';
const name = 'remote-notes';
const host = `${name}.${outside}.svc`;
const port = 8443;
const image = 'localhost/mcp-keyring-demo:dev';

export const remoteServer = name;

const podSecurity = { runAsNonRoot: true, runAsUser: 65_532, seccompProfile: { type: 'RuntimeDefault' } };
const containerSecurity = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
};

/** The demo's MCP server as a remote one, over HTTPS with a CA of its own, and the McpServer for it in the demo's namespace. */
export async function installRemoteServer(): Promise<void> {
  const { cert, key, ca } = await makeTestCertificate([host]);
  await apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: outside } });
  await apply(
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name, namespace: outside },
      stringData: { 'tls.crt': cert, 'tls.key': key },
    },
    deployment(),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: outside },
      spec: { selector: { app: name }, ports: [{ port: 443, targetPort: port }] },
    },
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'remote-ca', namespace, labels: { 'mcpkeyring.io/ca-bundle': 'true' } },
      data: { 'ca.crt': ca },
    },
    {
      apiVersion: 'mcpkeyring.io/v1alpha1',
      kind: 'McpServer',
      metadata: { name, namespace },
      spec: {
        title: 'Remote notes',
        upstream: {
          remote: { url: `https://${host}/mcp`, caBundleRef: { name: 'remote-ca' }, allowPrivateAddresses: true },
        },
        authentication: { headers: [{ name: 'Authorization', template: 'Bearer {value}', title: 'Notes API key' }] },
      },
    },
  );
  await kubectl('-n', outside, 'rollout', 'restart', `deploy/${name}`);
  await kubectl('-n', outside, 'rollout', 'status', `deploy/${name}`, '--timeout=90s');
}

export async function removeRemoteServer(): Promise<void> {
  await kubectl('-n', namespace, 'delete', `mcpserver/${name}`, 'configmap/remote-ca', '--ignore-not-found');
  await kubectl('delete', 'namespace', outside, '--ignore-not-found', '--wait=false');
}

function deployment(): object {
  const mount = { name: 'tls', mountPath: '/etc/tls', readOnly: true };
  const args = [
    '/app/mcp-server.js',
    'http://notes.mcp-demo.svc',
    '/etc/tls/tls.crt',
    '/etc/tls/tls.key',
    String(port),
  ];
  const container = {
    name: 'server',
    image,
    imagePullPolicy: 'IfNotPresent',
    args,
    readinessProbe: { tcpSocket: { port }, periodSeconds: 1 },
    securityContext: containerSecurity,
    volumeMounts: [mount],
  };
  const volumes = [{ name: 'tls', secret: { secretName: name, defaultMode: 0o444 } }];
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: outside },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { automountServiceAccountToken: false, securityContext: podSecurity, containers: [container], volumes },
      },
    },
  };
}
