import { caConfigMapName, labels } from '#crds/v1alpha1/names.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { isKubeError } from '#operator/kube/errors.ts';
import type { Informer } from '#operator/kube/informer.ts';
import type { Log } from '#operator/kube/observers.ts';
import { configMaps, mutatingWebhookConfigurations, secrets as secretType } from '#operator/kube/resources.ts';
import type { ConfigMap, MutatingWebhookConfiguration, Secret } from '#operator/kube/resources.ts';

import { decideCertificates } from './decide.ts';
import type { CertificateDecision, ObservedCertificates } from './decide.ts';
import type { CertificateLifetimes } from './lifetimes.ts';
import type { CertificateMetrics } from './metrics.ts';
import {
  caBundleKey,
  configMapBundle,
  encodedBundle,
  outdatedWebhooks,
  placesWithout,
  webhookBundles,
} from './publication.ts';
import { renew } from './renew.ts';
import { bundleOf, readTlsState, tlsSecretName, writeTlsState } from './tls-state.ts';
import type { TlsStateReading } from './tls-state.ts';

export const webhookConfigurationName = 'mcp-keyring-inject';
const fieldManager = 'mcp-keyring-certificates';

/** A rotation takes a handful of steps; more in one go means that they do not lead anywhere. */
const stepsMax = 8;
const placesNamedMax = 5;

export interface CertificateKeeperOptions {
  /** Without a leader's fence: the very first certificate may come from any replica. */
  readonly client: Pick<KubeClient, 'replace' | 'apply'>;
  /** Must hold Secret `mcp-keyring-tls` of the operator's namespace. */
  readonly secrets: Pick<Informer<Secret>, 'store' | 'hasSynced'>;
  readonly webhooks: Pick<Informer<MutatingWebhookConfiguration>, 'store' | 'hasSynced'>;
  /** Must hold exactly the ConfigMaps `mcp-keyring-ca` that sidecars mount. */
  readonly caConfigMaps: Pick<Informer<ConfigMap>, 'store' | 'hasSynced'>;
  readonly operatorNamespace: string;
  /** Publish the bundle in the operator's own namespace too: gateways mount it there, and no Organization does it. */
  readonly publishesAtHome: boolean;
  readonly dnsNames: readonly string[];
  readonly lifetimes: CertificateLifetimes;
  readonly isLeader: () => boolean;
  /** Milliseconds since 1970: certificates live in calendar time. */
  readonly wallClockMs: () => number;
  readonly log: Log;
  readonly metrics: CertificateMetrics;
}

/** Observes, decides and writes: the Secret (leader, or anybody while it is empty) and the webhook's `caBundle` (leader). */
export class CertificateKeeper {
  readonly #options: CertificateKeeperOptions;
  /** What we wrote last and what it replaced: the cache may not show it yet. */
  #written: { readonly replacedVersion: string | undefined; readonly secret: Secret } | undefined;
  #stagedPublished: { readonly pem: string; readonly sinceMs: number } | undefined;

  constructor(options: CertificateKeeperOptions) {
    this.#options = options;
  }

  /** Goes as far as is possible now. Rejects when the API server cannot be written to; the caller comes back later. */
  async reconcile(): Promise<void> {
    const { secrets, webhooks, caConfigMaps } = this.#options;
    if (!secrets.hasSynced || !webhooks.hasSynced || !caConfigMaps.hasSynced) return;
    for (let step = 0; step < stepsMax; step += 1) {
      const secret = this.#currentSecret();
      if (secret === undefined)
        return this.#options.log.warn('Secret for certificates does not exist', { name: tlsSecretName });
      const reading = readTlsState(secret.data);
      if (reading.kind === 'held' && this.#options.isLeader()) await this.#publish(bundleOf(reading.state));
      if (!(await this.#advance(secret, reading))) return;
    }
  }

  #currentSecret(): Secret | undefined {
    const cached = this.#options.secrets.store.get(this.#options.operatorNamespace, tlsSecretName);
    const written = this.#written;
    if (written !== undefined && cached?.metadata.resourceVersion === written.replacedVersion) return written.secret;
    return cached;
  }

  /** Resolves true when something was written, so that there may be more to do. */
  async #advance(secret: Secret, reading: TlsStateReading): Promise<boolean> {
    const nowMs = this.#options.wallClockMs();
    const observed = this.#observe(reading, nowMs);
    const decision = decideCertificates(observed, nowMs);
    if (!this.#mayApply(decision)) return false;
    const next = await renew(decision, observed, nowMs);
    if (next === undefined) return false;
    const isWritten = await this.#write(secret, { ...secret, data: writeTlsState(next) });
    if (!isWritten) return false;
    this.#options.metrics.changed(decision.kind);
    this.#options.log.info('certificates changed', {
      decision: decision.kind,
      reason: 'reason' in decision ? decision.reason : undefined,
    });
    return true;
  }

  #observe(reading: TlsStateReading, nowMs: number): ObservedCertificates {
    const { dnsNames, lifetimes } = this.#options;
    return { reading, dnsNames, lifetimes, stagedPublishedSinceMs: this.#publishedSinceMs(reading, nowMs) };
  }

  /** Begins anew after a restart or in a new leader: waiting once more is harmless. */
  #publishedSinceMs(reading: TlsStateReading, nowMs: number): number | undefined {
    const staged = reading.kind === 'held' ? reading.state.staged : undefined;
    const missing = staged === undefined ? [] : this.#placesWithout(staged.pem);
    if (missing.length > 0) {
      this.#options.log.warn('the next CA waits until it is published everywhere', {
        missing: missing.slice(0, placesNamedMax),
      });
    }
    const isPublished = staged !== undefined && missing.length === 0;
    if (!isPublished) this.#stagedPublished = undefined;
    else if (this.#stagedPublished?.pem !== staged.pem) this.#stagedPublished = { pem: staged.pem, sinceMs: nowMs };
    return this.#stagedPublished?.sinceMs;
  }

  #placesWithout(pem: string): readonly string[] {
    const { webhooks, caConfigMaps } = this.#options;
    const configuration = webhooks.store.get(undefined, webhookConfigurationName);
    if (configuration === undefined) return [`MutatingWebhookConfiguration ${webhookConfigurationName}`];
    return placesWithout(pem, [...webhookBundles(configuration), ...caConfigMaps.store.list().map(configMapBundle)]);
  }

  #mayApply(decision: CertificateDecision): boolean {
    if (decision.kind === 'keep') return false;
    return this.#options.isLeader() || (decision.kind === 'initialise' && decision.reason === 'empty');
  }

  /** Resolves false when somebody else was first: the cache will show what they wrote. */
  async #write(replaced: Secret, secret: Secret): Promise<boolean> {
    try {
      const written = await this.#options.client.replace(secretType, secret);
      this.#written = { replacedVersion: replaced.metadata.resourceVersion, secret: written };
      return true;
    } catch (error) {
      if (isKubeError(error, 'Conflict')) return false;
      throw error;
    }
  }

  async #publish(bundle: string): Promise<void> {
    if (this.#options.publishesAtHome) await this.#publishAtHome(bundle);
    await this.#publishToWebhook(bundle);
  }

  async #publishAtHome(bundle: string): Promise<void> {
    const { caConfigMaps, operatorNamespace, client } = this.#options;
    const published = caConfigMaps.store.get(operatorNamespace, caConfigMapName);
    if (published?.data?.[caBundleKey] === bundle) return;
    const labelled = { [labels.managed]: 'true', 'app.kubernetes.io/managed-by': 'mcp-keyring' };
    const metadata = { name: caConfigMapName, namespace: operatorNamespace, labels: labelled };
    const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { [caBundleKey]: bundle } };
    await client.apply(configMaps, object, { fieldManager });
  }

  async #publishToWebhook(bundle: string): Promise<void> {
    const configuration = this.#options.webhooks.store.get(undefined, webhookConfigurationName);
    if (configuration === undefined) return;
    const outdated = outdatedWebhooks(configuration, bundle);
    if (outdated.length === 0) return;
    const { apiVersion, kind } = configuration;
    const clientConfig = { caBundle: encodedBundle(bundle) };
    // All of them: what an apply leaves out, its field manager gives up.
    const webhooks = (configuration.webhooks ?? []).map(({ name }) => ({ name, clientConfig }));
    const object = { apiVersion, kind, metadata: { name: webhookConfigurationName }, webhooks };
    await this.#options.client.apply(mutatingWebhookConfigurations, object, { fieldManager });
    this.#options.log.info('webhook trusts the current bundle', { webhooks: outdated });
  }
}
