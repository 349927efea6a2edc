import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { makeTestCertificate } from '#test/support/test-certificates.ts';
import { root, labCommand, type Cluster } from './cluster.ts';

/** The images that the demo builds from the project's own Dockerfiles. */
export const images: readonly { readonly tag: string; readonly dockerfile: string }[] = [
  { tag: 'localhost/mcp-keyring-operator:dev', dockerfile: 'operator/Dockerfile' },
  { tag: 'localhost/mcp-keyring-sidecar:dev', dockerfile: 'sidecar/Dockerfile' },
  { tag: 'localhost/mcp-keyring-demo:dev', dockerfile: 'test/demo/Dockerfile' },
];

export const issuer = 'https://idp.mcp-demo.svc';
const imagesLine = /image: localhost\/mcp-keyring-demo:dev/gu;

/** The upstream API keys of the demo's users, made anew for every installation. */
export interface DemoKeys {
  readonly alice: string;
  readonly bob: string;
}

export function makeDemoKeys(): DemoKeys {
  return { alice: `notes_${randomBytes(18).toString('hex')}`, bob: `notes_${randomBytes(18).toString('hex')}` };
}

export function buildImages(cluster: Cluster): void {
  for (const { tag, dockerfile } of images) {
    if (cluster.kind === 'lab') labCommand('build', dockerfile, tag, root);
    else docker(tag, dockerfile, cluster.kind === 'kind');
  }
}

function docker(tag: string, dockerfile: string, loadIntoKind: boolean): void {
  const commands = [
    ['docker', 'build', '-t', tag, '-f', dockerfile, '.'],
    ...(loadIntoKind ? [['kind', 'load', 'docker-image', tag]] : []),
  ];
  for (const [program = '', ...args] of commands) {
    if (spawnSync(program, args, { cwd: root, stdio: 'inherit' }).status !== 0)
      throw new Error(`${program} ${args.join(' ')} failed`);
  }
}

/** Changes with what was built, so that pods of an unchanged image name are replaced after a rebuild. */
function buildHash(folder: string): string {
  const hash = createHash('sha256');
  for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) hash.update(entry.name).update(readFileSync(join(entry.parentPath, entry.name)));
  }
  return hash.digest('hex').slice(0, 16);
}

/** Helm values for the demo: the images just built, and one organization that trusts the demo's identity provider. */
export function helmValues(): string {
  const image = (name: string): object => ({ registry: 'localhost', repository: `mcp-keyring-${name}`, tag: 'dev' });
  return JSON.stringify({
    operator: { image: image('operator'), podAnnotations: { 'mcp-demo/build': buildHash('dist/operator') } },
    sidecar: { image: image('sidecar') },
    gateway: {
      podAnnotations: { 'mcp-demo/build': buildHash('dist/sidecar') },
      // What is remote in the tests is in this cluster all the same.
      privateCIDRs: ['10.0.0.0/8'],
      remotePorts: [443, 8443],
    },
    organization: {
      name: 'default',
      namespaceSelector: { matchLabels: { 'mcpkeyring.io/organization': 'default' } },
      issuers: [
        {
          name: 'demo',
          type: 'OIDC',
          issuerURL: issuer,
          audiences: ['urn:mcp-keyring'],
          caBundleRef: { name: 'demo-idp-ca', key: 'ca.crt' },
        },
        { name: 'cluster', type: 'Kubernetes', audiences: ['mcp-keyring'] },
      ],
    },
  });
}

export function installCharts(cluster: Cluster): void {
  const common = ['--namespace', 'mcp-keyring', '--create-namespace', '--wait', '--timeout', '180s'];
  cluster.run(['helm', 'upgrade', '--install', 'mcp-keyring-crds', 'charts/mcp-keyring-crds', ...common]);
  cluster.run(['helm', 'upgrade', '--install', 'mcp-keyring', 'charts/mcp-keyring', ...common, '-f', '-'], {
    input: helmValues(),
  });
}

const namespaces = `
apiVersion: v1
kind: List
items:
  - { apiVersion: v1, kind: Namespace, metadata: { name: mcp-demo, labels: { mcpkeyring.io/organization: default } } }
  - { apiVersion: v1, kind: Namespace, metadata: { name: mcp-keyring } }
`;

/**
 * Namespaces, identity provider (own CA), notes API that knows `keys`, client pod. Before the charts: Helm waits for the Organization, which
 * is ready once its issuer answers.
 */
export async function installApps(cluster: Cluster, keys: DemoKeys): Promise<void> {
  const certificate = await makeTestCertificate(['idp.mcp-demo.svc', 'idp.mcp-demo.svc.cluster.local']);
  cluster.apply(namespaces);
  const accounts = {
    [keys.alice]: { account: 'alice@notes', notes: ["alice's first note", 'buy milk'] },
    [keys.bob]: { account: 'bob@notes', notes: ["bob's only note"] },
  };
  const objects = [
    secret('idp-tls', { 'tls.crt': certificate.cert, 'tls.key': certificate.key }),
    configMap('mcp-demo', 'idp-ca', { 'ca.crt': certificate.ca }),
    configMap('mcp-keyring', 'demo-idp-ca', { 'ca.crt': certificate.ca }),
    secret('notes-accounts', { 'accounts.json': JSON.stringify(accounts) }),
  ];
  for (const manifest of objects) cluster.apply(manifest);
  // The pods read CA and keys at their start: new ones, new pods.
  const hash = createHash('sha256').update(objects.join()).digest('hex');
  cluster.apply(manifestOf('apps.yaml').replaceAll('CREDENTIALS_HASH', hash));
  for (const name of ['idp', 'notes', 'client']) waitForRollout(cluster, name);
}

function secret(name: string, stringData: Record<string, string>): string {
  return JSON.stringify({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'mcp-demo' }, stringData });
}

function configMap(namespace: string, name: string, data: Record<string, string>): string {
  return JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data });
}

export function installMcpServer(cluster: Cluster): void {
  cluster.apply(manifestOf('mcp-server.yaml').replaceAll('BUILD_HASH', buildHash('dist/sidecar')));
  waitForRollout(cluster, 'notes-mcp-server');
  cluster.kubectl('-n', 'mcp-demo', 'wait', 'mcpserver/notes', '--for=condition=Ready', '--timeout=60s');
}

function waitForRollout(cluster: Cluster, name: string): void {
  cluster.kubectl('-n', 'mcp-demo', 'rollout', 'status', `deploy/${name}`, '--timeout=120s');
}

function manifestOf(file: string): string {
  return readFileSync(join(root, 'test/demo/manifests', file), 'utf8').replace(
    imagesLine,
    `image: ${images[2]?.tag ?? ''}`,
  );
}
