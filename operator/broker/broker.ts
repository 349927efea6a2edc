import { type KeyObject, randomUUID } from 'node:crypto';
import type { Server } from 'node:https';

import type { Registry } from 'prom-client';

import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { KeyPage } from '#contract/key-page.ts';
import type { ServerRef } from '#contract/lease.ts';
import { present } from '#contract/fields.ts';
import { TokenIdentifier } from '#operator/access-tokens/identify-token.ts';
import { AccessTokenIndex } from '#operator/access-tokens/token-index.ts';
import { TokenUses } from '#operator/access-tokens/token-uses.ts';
import type { AuditLog } from '#operator/audit/audit-log.ts';
import type { TrustedIssuer, UserProver } from '#operator/identity/identification.ts';
import type { TokenReviewer } from '#operator/identity/token-review.ts';
import type { KeyStore } from '#operator/keystore/key-store.ts';
import type { Log } from '#operator/kube/observers.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { allowedSources } from '#operator/policy/request-bounds.ts';
import { serverUpstream } from '#operator/policy/server-upstream.ts';
import type { LimitStore } from '#operator/limits/limit-store.ts';
import { limitMetrics } from '#operator/limits/metrics.ts';
import { UseRecorder } from '#operator/key-state/use-recorder.ts';
import { EndRecorder } from '#operator/key-state/end-recorder.ts';
import type { ReferencedSecrets } from '#operator/shared-keys/referenced-secrets.ts';
import { SharedKeys } from '#operator/shared-keys/shared-keys.ts';
import { SubjectRecorder } from '#operator/subjects/subject-recorder.ts';
import type { TenancyIndex } from '#operator/tenancy/tenancy.ts';
import type { ProbeCredentials } from '#operator/validation/probe-credential.ts';

import { AuditIntake } from './audit-intake.ts';
import { Denials } from './denials.ts';
import { DiscoveryLeases } from './discovery-leases.ts';
import { followSources } from './follow-sources.ts';
import { LeaseService } from './lease-service.ts';
import { type BrokerObserver, createBrokerObserver } from './metrics.ts';
import { OutcomeIntake, type OutcomeIntakeOptions } from './outcomes.ts';
import { PodGate } from './pod-gate.ts';
import { QuotaService, type QuotaServiceOptions } from './quota.ts';
import { createPodIdentifier } from './pod-identifier.ts';
import { ProbeLeases } from './probe-lease.ts';
import { policySnapshot, type SnapshotExtras } from './policy-snapshot.ts';
import { forPlace } from './proxy-secrets.ts';
import { Receipts } from './receipts.ts';
import { RefusalCounts } from './refusal-counts.ts';
import { createRoutes } from './routes.ts';
import { BrokerServer } from './server.ts';
import { SharedLeases } from './shared-leases.ts';
import type { BrokerSources } from './sources.ts';
import { UserGate } from './user-gate.ts';
import { WatchHub } from './watch-hub.ts';

export interface BrokerOptions {
  /** PEM of the serving certificate at start; attach `broker.tls` for later ones. */
  readonly identity: { readonly cert: string | Buffer; readonly key: string | Buffer };
  /** Started and synced by the caller. */
  readonly sources: BrokerSources;
  readonly tenancy: TenancyIndex;
  readonly keyStore: KeyStore;
  /** Opens what the leader makes to try keys with. */
  readonly probeCredentials: Pick<ProbeCredentials, 'open'>;
  /** With keys of organizations. Started and closed by the caller. */
  readonly referencedSecrets: Pick<ReferencedSecrets, 'stateOf' | 'open' | 'onChange'>;
  readonly audit: AuditLog;
  /** Closed with the broker. */
  readonly limits: LimitStore;
  /** Not fenced, for the marks of rejected keys and the groups of users. */
  readonly client: Pick<KubeClient, 'apply'>;
  /** Where users of a server set their keys. */
  readonly keyPageOf: (server: McpServer) => KeyPage | undefined;
  /** `PolicySnapshot.sessionKey` of a server. */
  readonly sessionKeyOf: (server: McpServer) => string;
  /** The same in every replica. */
  readonly receiptKey: KeyObject;
  /** Both from `createIdentity`. */
  readonly users: UserProver;
  readonly reviewer: Pick<TokenReviewer, 'review'>;
  readonly operatorNamespace: string;
  /** Without a leading dot. */
  readonly clusterDomain: string;
  /** URL of a server that tokens may name as their audience; undefined: there is none. */
  readonly resourceOf: (server: ServerRef) => string | undefined;
  readonly registry: Registry;
  readonly log: Log;
  readonly monotonicMs: () => number;
  readonly now: () => Date;
}

/** The broker of one replica. */
export interface Broker {
  /** For certificate reloads. */
  readonly tls: Server;
  /** For the readiness check: true from the start of `close`. */
  readonly isDraining: boolean;
  /** Resolves with the port. */
  listen(port: number, host?: string): Promise<number>;
  /** Ends streams, lets requests finish for at most 20 s. */
  close(): Promise<void>;
}

function newId(): string {
  return randomUUID();
}

/** What a proxy has to know of its surroundings. */
function extrasOf(
  { keyPageOf, sessionKeyOf, tenancy, sources, clusterDomain }: BrokerOptions,
  server: McpServer,
): SnapshotExtras {
  const owner = tenancy.organizationOf(server.metadata.namespace ?? '');
  const trusted = owner.kind === 'organization' ? owner.issuers : [];
  const providers = trusted.filter((issuer) => issuer.type === 'OIDC');
  return present({
    keyPage: keyPageOf(server),
    sessionKey: sessionKeyOf(server),
    issuers: providers.map(({ issuerURL }) => issuerURL),
    scopes: scopesOf(providers),
    upstream: serverUpstream(server, { caBundles: sources.caBundles.store, clusterDomain }),
  });
}

/** A client learns of all issuers in one document, which has one list for all of them (RFC 9728, 2). */
function scopesOf(providers: readonly Extract<TrustedIssuer, { type: 'OIDC' }>[]): readonly string[] | undefined {
  const scopes = new Set(providers.flatMap(({ scopes: asked = [] }) => asked));
  return scopes.size === 0 ? undefined : [...scopes];
}

function createHub(options: BrokerOptions, observer: BrokerObserver): WatchHub {
  const { sources, monotonicMs, clusterDomain } = options;
  return new WatchHub({
    snapshotOf: ({ namespace, name }, role) => {
      const server = sources.mcpServers.store.get(namespace, name);
      if (server === undefined) return undefined;
      const policies = sources.userKeyPolicies.store.listNamespace(namespace);
      const isRemote = server.spec.upstream.remote !== undefined;
      const extras = forPlace(extrasOf(options, server), { role, isRemote });
      const allow = allowedSources(server, { role, clusterDomain });
      return policySnapshot(server, policies, allow === undefined ? extras : { ...extras, allow });
    },
    observer,
    monotonicMs,
    bootId: randomUUID().slice(0, 8),
    random: Math.random,
  });
}

function createQuotas(options: BrokerOptions, gates: Pick<QuotaServiceOptions, 'podGate' | 'userGate'>): QuotaService {
  const { sources, log, now } = options;
  return new QuotaService({
    ...gates,
    tenancy: options.tenancy,
    sources,
    store: options.limits,
    metrics: limitMetrics(options.registry),
    log,
    now,
  });
}

function createOutcomes(
  { sources, tenancy, audit, client, log, monotonicMs, now }: BrokerOptions,
  parts: Pick<OutcomeIntakeOptions, 'podGate' | 'receipts' | 'observer' | 'sharedKeys' | 'ends'>,
): OutcomeIntake {
  return new OutcomeIntake({
    ...parts,
    userKeys: sources.userKeys.store,
    mcpServers: sources.mcpServers.store,
    tenancy,
    audit,
    client,
    log,
    monotonicMs,
    now,
  });
}

/** Puts the parts together. They share nothing but what is passed here. */
export function createBroker(options: BrokerOptions): Broker {
  const { sources, tenancy, keyStore, audit, log, monotonicMs, now } = options;
  const observer = createBrokerObserver(options.registry);
  const denials = new Denials({ audit, observer, log, monotonicMs, now, newId });
  const pods = createPodIdentifier(options);
  const podGate = new PodGate({ pods, denials });
  const userGate = new UserGate({ users: options.users, monotonicMs });
  const subjects = new SubjectRecorder(options);
  const uses = new UseRecorder(options);
  const receipts = new Receipts({ key: options.receiptKey, now });
  const tokenUses = new TokenUses(options);
  const sharedKeys = new SharedKeys(options.referencedSecrets);
  const leases = new LeaseService({
    podGate,
    userGate,
    tenancy,
    sources,
    keyStore,
    audit,
    denials,
    observer,
    receipts,
    shared: new SharedLeases({ sharedKeys, denials }),
    discovery: new DiscoveryLeases({ sharedKeys, audit, observer, log, now, newId }),
    probes: new ProbeLeases({ credentials: options.probeCredentials, audit, denials, log, now, newId }),
    subjects,
    uses,
    accessTokens: new TokenIdentifier({ index: new AccessTokenIndex(sources.accessTokens), uses: tokenUses, now }),
    resourceOf: options.resourceOf,
    log,
    now,
    newId,
  });
  const counts = new RefusalCounts({ observer, monotonicMs, now, newId });
  const intake = new AuditIntake({ podGate, tenancy, audit, counts });
  const ends = new EndRecorder(options);
  const outcomes = createOutcomes(options, { podGate, receipts, observer, sharedKeys, ends });
  const quotas = createQuotas(options, { podGate, userGate });
  const hub = createHub(options, observer);
  followSources({ sources, keyStore, referencedSecrets: options.referencedSecrets, hub });
  const routes = createRoutes({ leases, intake, outcomes, quotas, hub, podGate, observer, monotonicMs });
  const server = new BrokerServer({ routes, identity: options.identity, observer, log });
  return {
    tls: server.tls,
    get isDraining() {
      return server.isDraining;
    },
    listen: (port, host) => server.listen(port, host),
    close: async () => {
      const closed = server.close();
      hub.drain();
      await closed;
      await Promise.all([
        intake.close(),
        outcomes.close(),
        ends.close(),
        options.limits.close(),
        subjects.close(),
        uses.close(),
        tokenUses.close(),
      ]);
    },
  };
}
