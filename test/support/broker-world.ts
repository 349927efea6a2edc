import { createHash, createSecretKey, randomBytes } from 'node:crypto';

import { Registry } from 'prom-client';

import type { AccessToken } from '#crds/v1alpha1/generated/access-token.ts';
import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { Organization } from '#crds/v1alpha1/generated/organization.ts';
import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import type { ServerRef, Subject } from '#contract/lease.ts';
import { AuditError } from '#operator/audit/audit-error.ts';
import type { AuditEvent, AuditLog } from '#operator/audit/audit-log.ts';
import { readAuditEvent } from '#operator/audit/event-fields.ts';
import type { BrokerOptions } from '#operator/broker/broker.ts';
import { systemRandomness } from '#operator/envelope/randomness.ts';
import { SecretBytes } from '#operator/envelope/secret-bytes.ts';
import type { Identification, Proof, TrustedIssuer } from '#operator/identity/identification.ts';
import { unauthenticated } from '#operator/identity/identification-results.ts';
import { TokenReviewer } from '#operator/identity/token-review.ts';
import { KeyStoreError } from '#operator/keystore/errors.ts';
import type { HeaderEnds } from '#operator/keystore/value-ends.ts';
import type { KeyAddress, KeyStore } from '#operator/keystore/key-store.ts';
import { KubeError } from '#operator/kube/errors.ts';
import { silentLog } from '#operator/kube/observers.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import type { ConfigMap } from '#operator/kube/resources.ts';
import type { Tenancy } from '#operator/tenancy/tenancy.ts';
import { ProbeCredentials } from '#operator/validation/probe-credential.ts';
import { fakeReviews, type FakeReviews } from '#test/support/fake-reviews.ts';
import { memorySource, type MemorySource } from '#test/support/memory-source.ts';
import { MemoryLimitStore } from './memory-limit-store.ts';
import { MemorySecrets } from './memory-secrets.ts';

export const github: ServerRef = { namespace: 'team-a', name: 'github' };
export const alice: Subject = { issuer: 'https://idp.example', id: 'alice-id', name: 'alice' };
export const bob: Subject = { issuer: 'https://idp.example', id: 'bob-id', name: 'bob' };

export function mcpServer(ref: ServerRef = github, change: Partial<McpServer['metadata']> = {}): McpServer {
  return {
    apiVersion: 'mcpkeyring.io/v1alpha1',
    kind: 'McpServer',
    metadata: { ...ref, uid: `uid-of-${ref.name}`, generation: 1, ...change },
    spec: {
      title: 'GitHub',
      upstream: { workload: { port: 8000, path: '/mcp' } },
      transport: 'StreamableHTTP',
      authentication: {
        mode: 'PerUser',
        headers: [
          {
            name: 'Authorization',
            template: 'Bearer {value}',
            title: 'GitHub token',
            helpURL: 'https://github.com/settings/tokens',
            required: true,
            reveal: 'None',
          },
          { name: 'X-Client-ID', template: '{value}', required: false, reveal: 'None' },
        ],
      },
    },
  };
}

export function podOf(server: ServerRef, name: string, change: Partial<KubeObject['metadata']> = {}): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: server.namespace,
      uid: `uid-of-${name}`,
      labels: { 'mcpkeyring.io/injected': 'true', 'mcpkeyring.io/server': server.name },
      ...change,
    },
  };
}

export function policyOf(name: string, spec: Omit<UserKeyPolicy['spec'], 'servers'>): UserKeyPolicy {
  return {
    apiVersion: 'mcpkeyring.io/v1alpha1',
    kind: 'UserKeyPolicy',
    metadata: { name, namespace: github.namespace, uid: `uid-of-${name}`, generation: 1 },
    spec: { servers: { selector: {} }, ...spec },
  };
}

export function subjectKeyOf(subject: Subject): string {
  return createHash('sha256').update(`${subject.issuer}|${subject.id}`).digest('hex').slice(0, 16);
}

export function userKeyOf(
  subject: Subject,
  server: ServerRef = github,
  status: UserKey['status'] = { version: 1 },
): UserKey {
  return {
    apiVersion: 'mcpkeyring.io/v1alpha1',
    kind: 'UserKey',
    metadata: { namespace: server.namespace, name: `${server.name}-${subjectKeyOf(subject)}`, generation: 1 },
    spec: { serverRef: { name: server.name }, subject },
    status,
  };
}

/** Stored keys in memory. A value is kept as bytes and handed out as a fresh copy, as the real store does. */
export class MemoryKeyStore implements KeyStore {
  readonly stored = new Map<
    string,
    { version: number; headers: Record<string, Buffer>; ends: readonly HeaderEnds[] }
  >();
  /** Every value that was handed out, to see whether it was zeroed. */
  readonly opened: SecretBytes[] = [];
  readonly calls: string[] = [];
  failure: Error | undefined;
  readonly #handlers: Parameters<KeyStore['onChange']>[0][] = [];

  subjectKeyOf(subject: Subject): string {
    return subjectKeyOf(subject);
  }

  userKeyNameOf({ server, subject }: Pick<KeyAddress, 'server' | 'subject'>): string {
    return `${server.name}-${subjectKeyOf(subject)}`;
  }

  set(
    subject: Subject,
    headers: Readonly<Record<string, string | Buffer>>,
    {
      version = 1,
      server = github,
      ends = [],
    }: Partial<{ version: number; server: ServerRef; ends: readonly HeaderEnds[] }> = {},
  ): void {
    const bytes = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, Buffer.from(value)]));
    this.stored.set(this.#keyOf({ server, subject }), { version, headers: bytes, ends });
    this.changed(subject, server);
  }

  changed(subject: Subject, server = github): void {
    for (const handler of this.#handlers) handler({ server, subjectKey: subjectKeyOf(subject) });
  }

  find(): undefined {
    return undefined;
  }

  open(address: KeyAddress, versionMin: number): ReturnType<KeyStore['open']> {
    this.calls.push(`open ${address.serverUid} ${address.organization} >=${versionMin}`);
    if (this.failure !== undefined) return Promise.reject(this.failure);
    const found = this.stored.get(this.#keyOf(address));
    if (found === undefined) return Promise.resolve(undefined);
    if (found.version < versionMin) return Promise.reject(new KeyStoreError('RolledBack'));
    const headers = Object.entries(found.headers).map(([name, bytes]) => {
      const value = SecretBytes.alloc(bytes.byteLength);
      value.bytes.set(bytes);
      this.opened.push(value);
      return { name, value };
    });
    return Promise.resolve({
      version: found.version,
      headers,
      ends: found.ends,
      [Symbol.dispose]: () => headers.forEach(({ value }) => value[Symbol.dispose]()),
    });
  }

  put(): never {
    throw new Error('not part of the broker');
  }

  destroy(): never {
    throw new Error('not part of the broker');
  }

  onChange(handler: Parameters<KeyStore['onChange']>[0]): void {
    this.#handlers.push(handler);
  }

  #keyOf({ server, subject }: Pick<KeyAddress, 'server' | 'subject'>): string {
    return `${server.namespace}/${server.name}/${subject.issuer}|${subject.id}`;
  }
}

/** An audit log in memory, which holds events to the same rules as the real one and fails when it is told to. */
export class MemoryAuditLog implements AuditLog {
  readonly events: AuditEvent[] = [];
  isDown = false;
  /** When set, an append waits for it. */
  gate: Promise<void> | undefined;

  async append(event: AuditEvent): Promise<void> {
    await this.appendAll([event]);
  }

  async appendAll(events: readonly AuditEvent[]): Promise<number> {
    await this.gate;
    if (this.isDown) throw new AuditError('ERR_AUDIT_DISK_FULL');
    for (const event of events.map((one) => readAuditEvent(one))) {
      const at = this.events.findIndex(({ id, type }) => id === event.id && type === event.type);
      const known = this.events[at];
      if (known === undefined) this.events.push(event);
      else if (known.type === 'request.refused' && !known.complete) this.events[at] = event;
    }
    return events.length;
  }

  recent(limit: number): readonly AuditEvent[] {
    return this.events.toReversed().slice(0, limit);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

const trusted: TrustedIssuer = {
  type: 'OIDC',
  name: 'idp',
  issuerURL: alice.issuer,
  audiences: ['mcp'],
  claims: { subject: 'sub', groups: 'groups', name: 'email' },
};

/** Everything around a broker: one server with one pod, two users, no key stored. Tests change what they are about. */
export function brokerWorld() {
  const clock = { nowMs: 1_000_000 };
  const sources = {
    pods: memorySource<KubeObject>([podOf(github, 'github-0')]),
    agentPods: memorySource<KubeObject>(),
    gatewayPods: memorySource<KubeObject>(),
    mcpServers: memorySource<McpServer>([mcpServer()]),
    userKeyPolicies: memorySource<UserKeyPolicy>(),
    userKeys: memorySource<UserKey>(),
    organizations: memorySource<Organization>(),
    accessTokens: memorySource<AccessToken>(),
    caBundles: memorySource<ConfigMap>(),
    namespaces: memorySource<KubeObject>([
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'team-a', labels: {} } },
    ]),
  };
  const audit = new MemoryAuditLog();
  const keyStore = new MemoryKeyStore();
  const referencedSecrets = new MemorySecrets();
  const reviews: FakeReviews = fakeReviews(({ token, audiences }) => reviewPod(token, audiences));
  const users = new Map<string, Identification>([
    ['token-of-alice', { kind: 'identified', subject: alice, groups: [] }],
    ['token-of-bob', { kind: 'identified', subject: bob, groups: [] }],
    ['expired-token', unauthenticated('TokenExpired')],
    ['token-of-an-issuer-that-is-down', unauthenticated('IssuerUnavailable')],
  ]);
  const identified: string[] = [];
  const tenancies = new Map<string, Tenancy>([
    ['team-a', { kind: 'organization', name: 'default', issuers: [trusted] }],
  ]);
  const options = {
    sources,
    tenancy: { organizationOf: (namespace: string): Tenancy => tenancies.get(namespace) ?? { kind: 'none' } },
    keyStore,
    probeCredentials: new ProbeCredentials({
      indexKey: createSecretKey(randomBytes(32)),
      randomness: systemRandomness,
      now: () => new Date(),
    }),
    referencedSecrets,
    audit,
    client: fakeStatusClient(sources),
    keyPageOf: () => undefined,
    sessionKeyOf: ({ metadata }) => createHash('sha256').update(metadata.name).digest('base64url'),
    receiptKey: createSecretKey(Buffer.alloc(32, 1)),
    users: {
      /** A token that begins with `review:` is one that only the API server can judge. */
      proofOf: (credential: string): Proof => {
        const prove = (): Promise<Identification> => {
          identified.push(credential);
          return Promise.resolve(users.get(credential) ?? unauthenticated('SignatureInvalid'));
        };
        return credential.startsWith('review:')
          ? { kind: 'review', prove, isOurs: () => Promise.resolve(false) }
          : { kind: 'keys', prove };
      },
    },
    reviewer: new TokenReviewer({ client: reviews, monotonicMs: () => clock.nowMs }),
    limits: new MemoryLimitStore(),
    operatorNamespace: 'mcp-keyring',
    clusterDomain: 'cluster.local',
    resourceOf: ({ namespace, name }: ServerRef) => `https://mcp.example.com/${namespace}/${name}/mcp`,
    registry: new Registry(),
    log: silentLog,
    monotonicMs: () => clock.nowMs,
    now: () => new Date('2026-11-24T10:00:00.000Z'),
  } satisfies Omit<BrokerOptions, 'identity'>;
  return { ...options, clock, tenancies, identified, userTokens: users, reviews, options };
}

export type BrokerWorld = ReturnType<typeof brokerWorld>;

/** Takes what is applied to the status of a UserKey or McpServer into the cache, as the API server and the informer would. */
function fakeStatusClient(sources: {
  readonly userKeys: MemorySource<UserKey>;
  readonly mcpServers: MemorySource<McpServer>;
}): BrokerOptions['client'] {
  return {
    apply: (type, object) => {
      const { name = '', namespace = '' } = object.metadata;
      const source = type.plural === 'mcpservers' ? sources.mcpServers : sources.userKeys;
      const known = source.store.get(namespace, name);
      if (known === undefined) throw new KubeError('NotFound', `${type.plural} ${name}`);
      const { status } = object as Pick<UserKey, 'status'>;
      source.put({ ...known, status: { ...known.status, ...status } } as never);
      return Promise.resolve(known as never);
    },
  };
}

/** `pod:<namespace>/<name>` is the token of that pod. */
function reviewPod(token: string, audiences: readonly string[]) {
  const [, namespace, name] = /^pod:([^/]+)\/(.+)$/.exec(token) ?? [];
  if (namespace === undefined || name === undefined || !audiences.includes('mcp-keyring-broker')) {
    return { authenticated: false };
  }
  const extra = {
    'authentication.kubernetes.io/pod-name': [name],
    'authentication.kubernetes.io/pod-uid': [`uid-of-${name}`],
    'authentication.kubernetes.io/node-name': ['node-1'],
    'authentication.kubernetes.io/credential-id': [`JTI=${name}`],
  };
  const groups = ['system:serviceaccounts', `system:serviceaccounts:${namespace}`];
  const user = { username: `system:serviceaccount:${namespace}:default`, groups, extra };
  return { authenticated: true, audiences: ['mcp-keyring-broker'], user };
}
