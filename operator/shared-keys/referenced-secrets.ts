import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { ServerRef } from '#contract/lease.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import type { Clock } from '#operator/kube/clock.ts';
import type { Change, Informer } from '#operator/kube/informer.ts';
import type { Log } from '#operator/kube/observers.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import { specChanged } from '#operator/kube/spec-changed.ts';
import type { Transport } from '#operator/kube/transport.ts';
import type { OpenedKey } from '#operator/keystore/key-store.ts';
import type { TenancyIndex } from '#operator/tenancy/tenancy.ts';

import type { SecretState } from './key-secret.ts';
import { SecretFollower, type SecretRef } from './secret-follower.ts';

/** Secrets that are followed at a time; each costs a connection to the API server. */
export const secretsFollowedMax = 256;
/** Of one namespace, so that none takes the places of others. */
export const secretsPerNamespaceMax = 32;

export interface ReferencedSecretsOptions {
  readonly sources: {
    readonly mcpServers: Pick<Informer<McpServer>, 'store' | 'onChange'>;
    readonly namespaces: Pick<Informer<KubeObject>, 'onChange'>;
    readonly organizations: Pick<Informer<KubeObject>, 'onChange'>;
  };
  readonly tenancy: TenancyIndex;
  /** Namespaces of the operator itself: no server there names one of its own Secrets. */
  readonly ownNamespaces: ReadonlySet<string>;
  readonly transport: Transport;
  readonly client: Pick<KubeClient, 'getRaw'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly random?: () => number;
}

interface Followed {
  readonly follower: SecretFollower;
  servers: readonly ServerRef[];
}

/** What is known of the Secrets that servers name, in namespaces of organizations alone. */
export class ReferencedSecrets {
  readonly #options: ReferencedSecretsOptions;
  readonly #followed = new Map<string, Followed>();
  readonly #handlers: ((server: ServerRef) => void)[] = [];
  readonly #closing = new Set<Promise<void>>();
  #wanted = new Map<string, Wanted>();
  #isDue = false;
  #isClosed = false;

  constructor(options: ReferencedSecretsOptions) {
    this.#options = options;
  }

  /** Caches must be synced. */
  start(): void {
    const { mcpServers, namespaces, organizations } = this.#options.sources;
    mcpServers.onChange((change) => {
      if (specMatters(change)) this.#syncSoon();
    });
    for (const source of [namespaces, organizations]) {
      source.onChange((change: Change<KubeObject>) => {
        if (specMatters(change)) this.#syncSoon();
      });
    }
    this.#sync();
  }

  /** Called with each server that names a Secret of which something else is known now. */
  onChange(handler: (server: ServerRef) => void): void {
    this.#handlers.push(handler);
  }

  stateOf(ref: SecretRef): SecretState {
    const key = keyOf(ref);
    const followed = this.#followed.get(key);
    if (followed !== undefined) return followed.follower.state;
    return { kind: this.#wanted.has(key) ? 'tooMany' : 'unknown' };
  }

  /** How many are in which state. */
  counts(): Readonly<Record<SecretState['kind'], number>> {
    const counts = { unknown: 0, tooMany: 0, forbidden: 0, notFound: 0, malformed: 0, found: 0 };
    for (const { ref } of this.#wanted.values()) counts[this.stateOf(ref).kind] += 1;
    return counts;
  }

  /** Whoever gets it zeroes it. `undefined`: `stateOf` says why. @throws KubeError */
  async open(ref: SecretRef): Promise<OpenedKey | undefined> {
    return await this.#followed.get(keyOf(ref))?.follower.open();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const key of this.#followed.keys()) this.#stop(key);
    await Promise.all(this.#closing);
  }

  /** Many changes that come together cost one look. */
  #syncSoon(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(() => {
      this.#isDue = false;
      if (!this.#isClosed) this.#sync();
    });
  }

  #sync(): void {
    this.#wanted = this.#collect();
    for (const key of this.#followed.keys()) if (!this.#wanted.has(key)) this.#stop(key);
    const perNamespace = new Map<string, number>();
    for (const key of this.#followed.keys()) count(perNamespace, this.#wanted.get(key)?.ref.namespace ?? '');
    for (const [key, { ref, servers }] of this.#wanted) {
      const followed = this.#followed.get(key);
      if (followed !== undefined) followed.servers = servers;
      else if (this.#followed.size >= secretsFollowedMax) continue;
      else if ((perNamespace.get(ref.namespace) ?? 0) >= secretsPerNamespaceMax) continue;
      else {
        count(perNamespace, ref.namespace);
        this.#follow(key, ref, servers);
      }
    }
  }

  #collect(): Map<string, Wanted> {
    const { sources, tenancy, ownNamespaces } = this.#options;
    const wanted = new Map<string, Wanted>();
    for (const server of sources.mcpServers.store.list()) {
      const { namespace = '', name } = server.metadata;
      const names = secretNamesOf(server);
      if (names.length === 0 || ownNamespaces.has(namespace)) continue;
      if (tenancy.organizationOf(namespace).kind !== 'organization') continue;
      for (const secret of names) {
        const ref = { namespace, name: secret };
        const servers = wanted.get(keyOf(ref))?.servers ?? [];
        wanted.set(keyOf(ref), { ref, servers: [...servers, { namespace, name }] });
      }
    }
    return wanted;
  }

  #follow(key: string, ref: SecretRef, servers: readonly ServerRef[]): void {
    const { transport, client, clock, log, random = Math.random } = this.#options;
    const onChange = (): void => this.#tell(key);
    const follower = new SecretFollower({ ref, transport, client, clock, log, random, onChange });
    this.#followed.set(key, { follower, servers });
    follower.start();
  }

  #stop(key: string): void {
    const followed = this.#followed.get(key);
    if (followed === undefined) return;
    this.#followed.delete(key);
    const closing = followed.follower.close().finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  #tell(key: string): void {
    for (const server of this.#followed.get(key)?.servers ?? []) {
      for (const handler of this.#handlers) handler(server);
    }
  }
}

interface Wanted {
  readonly ref: SecretRef;
  readonly servers: readonly ServerRef[];
}

function secretNamesOf({ spec }: McpServer): readonly string[] {
  const { sharedKeySecretRef, discoveryKeySecretRef } = spec.authentication;
  return [...new Set([sharedKeySecretRef?.name, discoveryKeySecretRef?.name].filter((name) => name !== undefined))];
}

function specMatters(change: Change<KubeObject>): boolean {
  return change.kind !== 'updated' || specChanged(change);
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function keyOf({ namespace, name }: SecretRef): string {
  return `${namespace}/${name}`;
}
