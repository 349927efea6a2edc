import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import { gatewayPath } from '#crds/v1alpha1/names.ts';
import type { KeyPage } from '#contract/key-page.ts';
import type { AuditLog } from '#operator/audit/audit-log.ts';
import { type Broker, createBroker } from '#operator/broker/broker.ts';
import type { ServingCertificate } from '#operator/certificates/serving-certificate.ts';
import type { Identity } from '#operator/identity/create-identity.ts';
import type { KeyPageOptions } from '#operator/options.ts';
import { keyPageUrlOf } from '#operator/policy/key-page.ts';
import type { ReferencedSecrets } from '#operator/shared-keys/referenced-secrets.ts';
import type { TenancyIndex } from '#operator/tenancy/tenancy.ts';

import type { Listener } from './admission.ts';
import type { Informers } from './informers.ts';
import type { Keys } from './keys.ts';
import { limitStoreOf } from './limits.ts';
import type { Platform } from './platform.ts';

export interface BrokerWiring {
  readonly platform: Platform;
  readonly informers: Informers;
  readonly serving: ServingCertificate;
  readonly signal: AbortSignal;
  readonly tenancy: TenancyIndex;
  readonly keys: Keys;
  readonly identity: Identity;
  readonly referencedSecrets: ReferencedSecrets;
  readonly audit: AuditLog;
}

/** Serves sidecars as soon as there is a certificate. */
export async function startBroker(wiring: BrokerWiring): Promise<Listener> {
  const { platform, serving, identity } = wiring;
  const { options, clock, log, metrics, client } = platform;
  const broker: Broker = createBroker({
    identity: await serving.ready(wiring.signal),
    sources: wiring.informers,
    tenancy: wiring.tenancy,
    keyStore: wiring.keys.keyStore,
    probeCredentials: wiring.keys.probeCredentials,
    referencedSecrets: wiring.referencedSecrets,
    audit: wiring.audit,
    limits: limitStoreOf(platform),
    client,
    keyPageOf: (server) => keyPageOf(server, options.keyPage, wiring.keys),
    sessionKeyOf: ({ metadata }) =>
      wiring.keys.sessionKeyOf({ namespace: metadata.namespace ?? '', name: metadata.name }, metadata.uid ?? ''),
    receiptKey: wiring.keys.receiptKey,
    operatorNamespace: options.namespace,
    clusterDomain: options.clusterDomain,
    resourceOf: (server) =>
      options.gatewayUrl === undefined ? undefined : `${options.gatewayUrl}${gatewayPath(server)}`,
    users: identity.users,
    reviewer: identity.reviewer,
    registry: metrics.registry,
    log,
    monotonicMs: () => clock.nowMs(),
    now: () => new Date(),
  });
  const detach = serving.attach(broker.tls, 'TLSv1.3');
  const port = await broker.listen(options.brokerPort, options.bindAddress);
  const close = async (): Promise<void> => {
    detach();
    await broker.close();
  };
  return { port, close };
}

function keyPageOf(
  { metadata }: McpServer,
  page: KeyPageOptions | undefined,
  { stateKeyOf }: Pick<Keys, 'stateKeyOf'>,
): KeyPage | undefined {
  if (page === undefined) return undefined;
  const server = { namespace: metadata.namespace ?? '', name: metadata.name };
  return {
    url: keyPageUrlOf(page.template, server),
    stateKey: stateKeyOf(server, metadata.uid ?? ''),
    ...(page.assumedClients.length === 0 ? {} : { assumedClients: page.assumedClients }),
  };
}
