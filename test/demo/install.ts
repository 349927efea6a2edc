import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { makeTestCertificate } from '#test/support/test-certificates.ts';
import { root, labCommand, type Cluster } from './cluster.ts';
import { madeByDemo } from './ownership.ts';
import { deliverCommand, type Delivery } from './target.ts';

/** Registry and tag of the demo's images. */
export interface ImageNames {
  readonly registry: string;
  readonly tag: string;
}

const localNames: ImageNames = { registry: 'localhost', tag: 'dev' };

/** A registry gets a tag that was never there: nodes keep what they pulled under a name. */
export function imageNames(delivery: Delivery, now: number): ImageNames {
  return delivery.how === 'push' ? { registry: delivery.registry, tag: `demo-${now.toString(36)}` } : localNames;
}

/** The images that the demo builds from the project's own Dockerfiles. */
const programs = [
  { name: 'operator', dockerfile: 'operator/Dockerfile' },
  { name: 'sidecar', dockerfile: 'sidecar/Dockerfile' },
  { name: 'demo', dockerfile: 'test/demo/Dockerfile' },
] as const;

function imageOf({ registry, tag }: ImageNames, name: string): string {
  return `${registry}/mcp-keyring-${name}:${tag}`;
}

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

export function buildImages(delivery: Delivery = { how: 'lab' }, names: ImageNames = localNames): void {
  for (const { name, dockerfile } of programs) {
    const image = imageOf(names, name);
    if (delivery.how === 'lab') labCommand('build', dockerfile, image, root);
    else docker(image, dockerfile, delivery);
  }
}

function docker(image: string, dockerfile: string, delivery: Delivery): void {
  const deliver = deliverCommand(delivery, image);
  const commands = [
    ['docker', 'build', '-t', image, '-f', dockerfile, '.'],
    ...(deliver === undefined ? [] : [deliver]),
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
export function helmValues({ registry, tag }: ImageNames = localNames): string {
  const image = (name: string): object => ({ registry, repository: `mcp-keyring-${name}`, tag });
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

export function installCharts(cluster: Cluster, names: ImageNames = localNames): void {
  const common = ['--namespace', 'mcp-keyring', '--create-namespace', '--wait', '--timeout', '180s'];
  cluster.run(['helm', 'upgrade', '--install', 'mcp-keyring-crds', 'charts/mcp-keyring-crds', ...common]);
  cluster.run(['helm', 'upgrade', '--install', 'mcp-keyring', 'charts/mcp-keyring', ...common, '-f', '-'], {
    input: helmValues(names),
  });
}

const namespaces = JSON.stringify({
  apiVersion: 'v1',
  kind: 'List',
  items: [
    { name: 'mcp-demo', labels: { 'mcpkeyring.io/organization': 'default' }, annotations: madeByDemo },
    { name: 'mcp-keyring', annotations: madeByDemo },
  ].map((metadata) => ({ apiVersion: 'v1', kind: 'Namespace', metadata })),
});

/**
 * Namespaces, identity provider (own CA), notes API that knows `keys`, client pod. Before the charts: Helm waits for the Organization, which
 * is ready once its issuer answers.
 */
export async function installApps(cluster: Cluster, keys: DemoKeys, names: ImageNames = localNames): Promise<void> {
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
  cluster.apply(manifestOf('apps.yaml', names).replaceAll('CREDENTIALS_HASH', hash));
  for (const name of ['idp', 'notes', 'client']) waitForRollout(cluster, name);
}

function secret(name: string, stringData: Record<string, string>): string {
  return JSON.stringify({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'mcp-demo' }, stringData });
}

function configMap(namespace: string, name: string, data: Record<string, string>): string {
  return JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data });
}

export function installMcpServer(cluster: Cluster, names: ImageNames = localNames): void {
  cluster.apply(manifestOf('mcp-server.yaml', names).replaceAll('BUILD_HASH', buildHash('dist/sidecar')));
  waitForRollout(cluster, 'notes-mcp-server');
  cluster.kubectl('-n', 'mcp-demo', 'wait', 'mcpserver/notes', '--for=condition=Ready', '--timeout=60s');
}

function waitForRollout(cluster: Cluster, name: string): void {
  cluster.kubectl('-n', 'mcp-demo', 'rollout', 'status', `deploy/${name}`, '--timeout=120s');
}

function manifestOf(file: string, names: ImageNames): string {
  return readFileSync(join(root, 'test/demo/manifests', file), 'utf8').replace(
    imagesLine,
    `image: ${imageOf(names, 'demo')}`,
  );
}
