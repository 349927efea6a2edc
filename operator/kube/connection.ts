import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

import { parse } from 'yaml';

import { KubeError } from './errors.ts';

/** How to reach the API server and who we are there, as of one reading of the files. */
export interface ConnectionSettings {
  /** Origin, for example `https://10.96.0.1:443`. */
  readonly server: string;
  readonly serverName?: string;
  /** PEM; absent: the system's roots. */
  readonly ca?: string;
  readonly clientCertificate?: { readonly certificate: string; readonly key: string };
  readonly token?: string;
}

/** Reads the settings again each time: tokens and CA bundles are replaced under a running process. */
export type ConnectionSource = () => Promise<ConnectionSettings>;

/** Where the kubelet projects the ServiceAccount of a pod. */
export const serviceAccountDirectory = '/var/run/secrets/kubernetes.io/serviceaccount';

export interface InClusterOptions {
  /** KUBERNETES_SERVICE_HOST. */
  readonly host: string;
  /** KUBERNETES_SERVICE_PORT. */
  readonly port: string;
  readonly directory?: string;
}

/** The pod's own ServiceAccount. */
export function inClusterConnection(options: InClusterOptions): ConnectionSource {
  const directory = options.directory ?? serviceAccountDirectory;
  const host = options.host.includes(':') ? `[${options.host}]` : options.host;
  return async () => ({
    server: `https://${host}:${options.port}`,
    ca: await readFile(join(directory, 'ca.crt'), 'utf8'),
    token: (await readFile(join(directory, 'token'), 'utf8')).trim(),
  });
}

/** The current context of a kubeconfig file: client certificates and tokens; no exec plugins, no skipped verification. */
export function kubeconfigConnection(path: string): ConnectionSource {
  return async () => {
    const config: Kubeconfig = parse(await readFile(path, 'utf8'));
    const context = named(config.contexts, config['current-context'], 'context').context;
    const cluster = named(config.clusters, context.cluster, 'cluster').cluster;
    const user = named(config.users, context.user, 'user').user;
    return settingsOf(cluster, user, dirname(resolve(path)));
  };
}

interface Kubeconfig {
  readonly 'current-context'?: string;
  readonly contexts?: readonly {
    readonly name: string;
    readonly context: { readonly cluster: string; readonly user: string };
  }[];
  readonly clusters?: readonly { readonly name: string; readonly cluster: KubeconfigCluster }[];
  readonly users?: readonly { readonly name: string; readonly user: KubeconfigUser }[];
}

interface KubeconfigCluster {
  readonly server: string;
  readonly 'tls-server-name'?: string;
  readonly 'insecure-skip-tls-verify'?: boolean;
  readonly 'certificate-authority'?: string;
  readonly 'certificate-authority-data'?: string;
}

interface KubeconfigUser {
  readonly token?: string;
  readonly tokenFile?: string;
  readonly 'client-certificate'?: string;
  readonly 'client-certificate-data'?: string;
  readonly 'client-key'?: string;
  readonly 'client-key-data'?: string;
  readonly exec?: unknown;
}

function named<T extends { readonly name: string }>(
  entries: readonly T[] | undefined,
  name: string | undefined,
  what: string,
): T {
  const entry = entries?.find((candidate) => candidate.name === name);
  if (entry === undefined)
    throw new KubeError('Unavailable', `kubeconfig has no ${what} named ${JSON.stringify(name)}`);
  return entry;
}

async function settingsOf(cluster: KubeconfigCluster, user: KubeconfigUser, base: string): Promise<ConnectionSettings> {
  if (cluster['insecure-skip-tls-verify'] === true) {
    throw new KubeError('Unavailable', 'kubeconfig asks for insecure-skip-tls-verify, which is not supported');
  }
  if (user.exec !== undefined)
    throw new KubeError('Unavailable', 'kubeconfig uses an exec plugin, which is not supported');
  const read = (data: string | undefined, file: string | undefined): Promise<string | undefined> =>
    dataOrFile(data, file === undefined ? undefined : resolve(base, file));
  const ca = await read(cluster['certificate-authority-data'], cluster['certificate-authority']);
  const certificate = await read(user['client-certificate-data'], user['client-certificate']);
  const key = await read(user['client-key-data'], user['client-key']);
  const token = user.token ?? (await read(undefined, user.tokenFile))?.trim();
  const serverName = cluster['tls-server-name'];
  return {
    server: cluster.server,
    ...(serverName === undefined ? {} : { serverName }),
    ...(ca === undefined ? {} : { ca }),
    ...(certificate === undefined || key === undefined ? {} : { clientCertificate: { certificate, key } }),
    ...(token === undefined ? {} : { token }),
  };
}

async function dataOrFile(data: string | undefined, file: string | undefined): Promise<string | undefined> {
  if (data !== undefined) return Buffer.from(data, 'base64').toString('utf8');
  return file === undefined ? undefined : await readFile(file, 'utf8');
}
