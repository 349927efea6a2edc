import { createAuditObserver } from '#operator/audit/audit-metrics.ts';
import type { AuditLog } from '#operator/audit/audit-log.ts';
import { openSqliteAuditLog } from '#operator/audit/sqlite-audit-log.ts';
import { createLineSink } from '#operator/audit/stdout-sink.ts';
import { registerKeyMetrics } from '#operator/controllers/user-key/key-metrics.ts';
import type { Identity } from '#operator/identity/create-identity.ts';
import { Backoff } from '#operator/kube/backoff.ts';
import { sleep } from '#operator/kube/clock.ts';
import type { ReferencedSecrets } from '#operator/shared-keys/referenced-secrets.ts';
import { InformerTenancy } from '#operator/tenancy/informer-tenancy.ts';

import { type Listener, startAdmission } from './admission.ts';
import { startBroker } from './broker.ts';
import { type Certificates, startCertificates } from './certificates.ts';
import { type Health, startHealth } from './health.ts';
import { clusterIssuerOf, startIdentity } from './identity.ts';
import { createInformers, type Informers } from './informers.ts';
import { type Keys, openKeys } from './keys.ts';
import { type LeaderWork, startLeaderWork } from './leader-work.ts';
import { type Leadership, prepareLeadership } from './leadership.ts';
import { reportMissingPermissions } from './permissions.ts';
import type { Platform } from './platform.ts';
import { startReferencedSecrets } from './referenced-secrets.ts';

/** What this process can do to itself; tests put their own in its place. */
export interface Host {
  readonly exit: (code: number) => void;
  readonly writeLine: (line: string) => void;
  /** Code of the audit log's writer thread, where the bundler has put it. */
  readonly auditThreadURL?: URL;
}

/** How long endpoints take to learn that this replica is going. */
const endpointsDelayMs = 5_000;
/** After that, how long what is under way may take. */
const drainMsMax = 20_000;
const closeMsMax = 3_000;
const keysBackoff = { delayMsMin: 500, delayMsMax: 15_000, resetAfterMs: 300_000 } as const;

/** What the parts that serve and the parts that lead share. */
interface Parts {
  readonly certificates: Certificates;
  readonly keys: Keys;
  readonly identity: Identity;
  readonly audit: AuditLog;
  readonly tenancy: InformerTenancy;
  readonly referencedSecrets: ReferencedSecrets;
  readonly clusterIssuerURL: string | undefined;
}

/** One replica, from start to drain. The order of both is on this page and nowhere else. */
export class Operator {
  readonly #platform: Platform;
  readonly #host: Host;
  readonly #stopping = new AbortController();
  readonly #informers: Informers;
  readonly #leadership: Leadership;
  readonly #listeners: Listener[] = [];
  #health: Health | undefined;
  #audit: AuditLog | undefined;
  #identity: Identity | undefined;
  #keys: Keys | undefined;
  #certificates: Certificates | undefined;
  #referencedSecrets: ReferencedSecrets | undefined;
  #leaderWork: LeaderWork | undefined;
  #started = false;

  constructor(platform: Platform, host: Host) {
    this.#platform = platform;
    this.#host = host;
    this.#informers = createInformers(platform);
    registerKeyMetrics(platform.metrics.registry, {
      sealedSecrets: this.#informers.sealedSecrets.store,
      userKeys: this.#informers.userKeys.store,
    });
    this.#leadership = prepareLeadership(platform, () => this.#host.exit(1));
  }

  /** Resolves when everything serves; rejects when it never will. */
  async start(): Promise<void> {
    const { signal } = this.#stopping;
    this.#health = await this.#startHealth();
    void reportMissingPermissions(this.#platform, signal);
    this.#informers.start();
    const certificates = startCertificates(this.#platform, this.#informers, () => this.#leadership.isLeader);
    this.#certificates = certificates;
    this.#audit = await this.#openAudit();
    const clusterIssuerURL = await clusterIssuerOf(this.#platform);
    this.#identity = startIdentity(this.#platform, clusterIssuerURL);
    const keys = await this.#openKeys();
    await this.#informers.synced(signal);
    // A cache that synced empty told nobody.
    certificates.loop.wake();
    const tenancy = this.#tenancy(clusterIssuerURL);
    const referencedSecrets = startReferencedSecrets(this.#platform, this.#informers, tenancy);
    this.#referencedSecrets = referencedSecrets;
    const shared = { certificates, keys, identity: this.#identity, audit: this.#audit };
    const parts = { ...shared, tenancy, referencedSecrets, clusterIssuerURL };
    await this.#listen(parts);
    signal.throwIfAborted();
    if (this.#runs('controllers')) this.#leadership.stand(() => this.#lead(parts));
    this.#started = true;
    this.#platform.log.info('started', { targets: [...this.#platform.options.targets] });
  }

  /** Takes traffic away first, then finishes what is under way, then gives the lease back. */
  async drain(): Promise<void> {
    const { clock, log, client } = this.#platform;
    log.info('shutting down');
    this.#health?.drain();
    if (this.#started) await sleep(clock, endpointsDelayMs);
    this.#stopping.abort();
    await this.#within(drainMsMax, () => Promise.all([this.#closeListeners(), this.#stopLeading()]));
    await this.#within(closeMsMax, () => this.#closeRest());
    await client.close();
    await this.#health?.close();
    log.info('shut down');
  }

  async #closeListeners(): Promise<void> {
    await Promise.all(this.#listeners.map((listener) => listener.close()));
  }

  /** Early, so that another replica goes on while our last answers are under way. */
  async #stopLeading(): Promise<void> {
    await this.#leaderWork?.stop();
    await this.#leadership.stop();
  }

  /** What answers under way needed until now. */
  async #closeRest(): Promise<void> {
    await this.#certificates?.loop.close();
    await this.#referencedSecrets?.close();
    await this.#informers.close();
    await this.#identity?.close();
    await this.#audit?.close();
  }

  async #startHealth(): Promise<Health> {
    const { log } = this.#platform;
    const health = await startHealth(this.#platform, () => {
      if (this.#leadership.isLeader) this.#host.exit(1);
    });
    health.require({ name: 'started', failing: () => (this.#started ? undefined : 'still starting') });
    health.require({ name: 'caches', failing: () => unless(this.#informers.unsynced.length === 0, this.#unsynced()) });
    health.require({ name: 'keys', failing: () => unless(this.#keys !== undefined, 'not loaded') });
    health.require({ name: 'certificate', failing: () => this.#certificateProblem() });
    log.debug('waiting for the API server');
    return health;
  }

  #unsynced(): string {
    return `not synced: ${this.#informers.unsynced.join(', ')}`;
  }

  #certificateProblem(): string | undefined {
    if (!this.#runs('admission') && !this.#runs('broker')) return undefined;
    return unless(this.#certificates?.serving.isValidAt(Date.now()) === true, 'none that is valid');
  }

  async #openAudit(): Promise<AuditLog> {
    const { options, metrics, clock } = this.#platform;
    const { auditThreadURL, writeLine } = this.#host;
    return await openSqliteAuditLog({
      path: `${options.auditDir}/audit.db`,
      databaseBytesMax: options.auditBytesMax,
      sink: createLineSink(writeLine),
      observer: createAuditObserver(metrics.registry),
      monotonicMs: () => clock.nowMs(),
      ...(auditThreadURL === undefined ? {} : { threadURL: auditThreadURL }),
    });
  }

  /** A chart that is still being installed is no reason to give up. */
  async #openKeys(): Promise<Keys> {
    const { clock, log } = this.#platform;
    const backoff = new Backoff(keysBackoff);
    const { signal } = this.#stopping;
    for (;;) {
      signal.throwIfAborted();
      try {
        this.#keys = await openKeys(this.#platform, this.#informers, this.#leadership.writer);
        return this.#keys;
      } catch (error) {
        log.error('keys cannot be loaded, trying again', error instanceof Error ? { error } : {});
        await sleep(clock, backoff.nextDelayMs(clock.nowMs()), signal);
      }
    }
  }

  async #listen(parts: Parts): Promise<void> {
    const { log } = this.#platform;
    const { serving } = parts.certificates;
    const common = { platform: this.#platform, informers: this.#informers, serving, signal: this.#stopping.signal };
    if (this.#runs('admission')) {
      const admission = await startAdmission({ ...common, tenancy: parts.tenancy });
      this.#listeners.push(admission);
      log.info('serving admission', { port: admission.port });
    }
    if (this.#runs('broker')) {
      const broker = await startBroker({ ...common, ...parts });
      this.#listeners.push(broker);
      log.info('serving sidecars', { port: broker.port });
    }
  }

  #lead(parts: Parts): void {
    const platform = this.#platform;
    const client = this.#leadership.writer;
    this.#leaderWork = startLeaderWork({ ...parts, platform, informers: this.#informers, client });
  }

  #tenancy(clusterIssuerURL: string | undefined): InformerTenancy {
    const { namespace, excludedNamespaces } = this.#platform.options;
    const { organizations, namespaces, operatorConfigMaps } = this.#informers;
    return new InformerTenancy({
      organizations: organizations.store,
      namespaces: namespaces.store,
      configMaps: operatorConfigMaps.store,
      operatorNamespace: namespace,
      excludedNamespaces,
      clusterIssuerURL,
    });
  }

  #runs(target: 'controllers' | 'admission' | 'broker'): boolean {
    return this.#platform.options.targets.has(target);
  }

  async #within(limitMs: number, work: () => Promise<unknown>): Promise<void> {
    const { clock, log } = this.#platform;
    const late = new AbortController();
    const done = work().finally(() => late.abort());
    const expired = sleep(clock, limitMs, late.signal).then(() => !late.signal.aborted);
    if (await Promise.race([done.then(() => false), expired])) log.warn('shutting down took too long');
  }
}

function unless(isFine: boolean, reason: string): string | undefined {
  return isFine ? undefined : reason;
}
