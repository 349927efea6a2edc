import { Registry } from 'prom-client';

import { admitPod } from '#operator/admission/admit.ts';
import { admissionMetrics } from '#operator/admission/metrics.ts';
import { AdmissionServer } from '#operator/admission/server.ts';
import { observeInjectionWorld } from '#operator/admission/world.ts';
import { startKeeperLoop } from '#operator/certificates/keeper-loop.ts';
import type { KeeperLoop } from '#operator/certificates/keeper-loop.ts';
import { CertificateKeeper, webhookConfigurationName } from '#operator/certificates/keeper.ts';
import type { CertificateLifetimes } from '#operator/certificates/lifetimes.ts';
import { certificateMetrics } from '#operator/certificates/metrics.ts';
import { ServingCertificate } from '#operator/certificates/serving-certificate.ts';
import { servingDnsNames } from '#operator/certificates/serving-names.ts';
import { tlsSecretName } from '#operator/certificates/tls-state.ts';
import { createKubeClient } from '#operator/kube/api-client.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { systemClock } from '#operator/kube/clock.ts';
import { createInformer } from '#operator/kube/create-informer.ts';
import type { Informer } from '#operator/kube/informer.ts';
import { mcpServers } from '#operator/kube/keyring-resources.ts';
import { silentLog } from '#operator/kube/observers.ts';
import type { KubeObject, ResourceType } from '#operator/kube/resource.ts';
import { configMaps, mutatingWebhookConfigurations, secrets } from '#operator/kube/resources.ts';
import { createTransport } from '#operator/kube/transport.ts';
import type { Transport } from '#operator/kube/transport.ts';
import type { Tenancy } from '#operator/tenancy/tenancy.ts';
import type { ControlPlane } from '#test/support/control-plane.ts';
import { testSettings } from '#test/unit/admission/pods.ts';

const operatorNamespace = 'mcp-keyring';

function organizationOf(namespace: string): Tenancy {
  return { kind: 'organization', name: namespace === 'team-x' ? 'x' : 'default', issuers: [] };
}

/** Admission and certificates of one replica, wired as in the operator, against a real API server. */
export class OperatorUnderTest implements AsyncDisposable {
  readonly client: KubeClient;
  readonly registry = new Registry();
  readonly serving: ServingCertificate;
  readonly #transport: Transport;
  readonly #informers: Informer<KubeObject>[] = [];
  readonly #servers;
  readonly #configMaps;
  readonly #loop: KeeperLoop;
  #server: AdmissionServer | undefined;
  port = 0;

  constructor(plane: ControlPlane, time: { readonly lifetimes: CertificateLifetimes; readonly nowMs: () => number }) {
    this.#transport = createTransport({ source: plane.source, userAgent: 'mcp-keyring-test' });
    this.client = createKubeClient({ transport: this.#transport });
    this.#servers = this.#informer(mcpServers);
    this.#configMaps = this.#informer(configMaps, { namespace: operatorNamespace });
    const tlsSecrets = this.#informer(secrets, {
      namespace: operatorNamespace,
      fieldSelector: `metadata.name=${tlsSecretName}`,
    });
    const webhooks = this.#informer(mutatingWebhookConfigurations, {
      fieldSelector: `metadata.name=${webhookConfigurationName}`,
    });
    const caConfigMaps = this.#informer(configMaps, { fieldSelector: 'metadata.name=mcp-keyring-ca' });
    const common = { operatorNamespace, log: silentLog, metrics: certificateMetrics(this.registry) };
    this.serving = new ServingCertificate({ ...common, secrets: tlsSecrets });
    const keeper = new CertificateKeeper({
      ...common,
      client: this.client,
      secrets: tlsSecrets,
      webhooks,
      caConfigMaps,
      publishesAtHome: false,
      dnsNames: [...servingDnsNames(operatorNamespace), 'localhost'],
      lifetimes: time.lifetimes,
      isLeader: () => true,
      wallClockMs: time.nowMs,
    });
    for (const informer of this.#informers) informer.start();
    this.#loop = startKeeperLoop({
      keeper,
      informers: [tlsSecrets, webhooks, caConfigMaps],
      clock: systemClock,
      log: silentLog,
    });
  }

  #informer<T extends KubeObject>(
    type: ResourceType<T>,
    options: { namespace?: string; fieldSelector?: string } = {},
  ): Informer<T> {
    const informer = createInformer({ transport: this.#transport, type, options });
    this.#informers.push(informer);
    return informer;
  }

  /** Looks at the certificates now: the clock of the test has moved. */
  wake(): void {
    this.#loop.wake();
  }

  async serve(port = 0): Promise<void> {
    const identity = await this.serving.ready(AbortSignal.timeout(20_000));
    const options = {
      servers: this.#servers,
      configMaps: this.#configMaps,
      tenancy: { organizationOf },
      operatorNamespace,
      brokerUrl: testSettings.brokerUrl,
      injectorVersion: '0.0.0-test',
    };
    this.#server = new AdmissionServer({
      admit: (request) => admitPod(request, observeInjectionWorld(options)),
      identity,
      metrics: admissionMetrics(this.registry),
      log: silentLog,
      nowMs: () => performance.now(),
    });
    this.serving.attach(this.#server.tls, 'TLSv1.2');
    this.port = await this.#server.listen(port, '127.0.0.1');
  }

  /** The webhook goes away; the rest of the operator goes on. */
  async stopServing(): Promise<void> {
    this.#server?.tls.closeAllConnections();
    await this.#server?.close();
    this.#server = undefined;
    this.registry.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopServing();
    await this.#loop.close();
    await Promise.all(this.#informers.map((informer) => informer.close()));
    await this.client.close();
  }
}
