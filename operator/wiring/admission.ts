import { type Admission, admitPod } from '#operator/admission/admit.ts';
import { admissionMetrics } from '#operator/admission/metrics.ts';
import type { AdmissionRequest } from '#operator/admission/review.ts';
import { AdmissionServer } from '#operator/admission/server.ts';
import { observeInjectionWorld } from '#operator/admission/world.ts';
import type { ServingCertificate } from '#operator/certificates/serving-certificate.ts';
import { brokerServiceName } from '#operator/certificates/serving-names.ts';

import type { OperatorOptions } from '#operator/options.ts';
import type { TenancyIndex } from '#operator/tenancy/tenancy.ts';

import type { Informers } from './informers.ts';
import type { Platform } from './platform.ts';

export interface Listener {
  readonly port: number;
  /** Lets what is under way finish, for a bounded time. */
  close(): Promise<void>;
}

export interface AdmissionWiring {
  readonly platform: Platform;
  readonly informers: Informers;
  readonly serving: ServingCertificate;
  readonly tenancy: TenancyIndex;
  readonly signal: AbortSignal;
}

/** Where sidecars find the broker. */
export function brokerUrlOf({ namespace }: OperatorOptions): string {
  return `https://${brokerServiceName}.${namespace}.svc:443`;
}

/** Serves the mutating webhook as soon as there is a certificate. */
export async function startAdmission(wiring: AdmissionWiring): Promise<Listener> {
  const { platform, informers, serving, signal, tenancy } = wiring;
  const { options, clock, log, metrics, version } = platform;
  const world = {
    servers: informers.mcpServers,
    configMaps: informers.operatorConfigMaps,
    tenancy,
    operatorNamespace: options.namespace,
    brokerUrl: brokerUrlOf(options),
    injectorVersion: version,
  };
  const admit = (request: AdmissionRequest): Admission => admitPod(request, observeInjectionWorld(world));
  const server = new AdmissionServer({
    admit,
    identity: await serving.ready(signal),
    metrics: admissionMetrics(metrics.registry),
    log,
    nowMs: () => clock.nowMs(),
  });
  const detach = serving.attach(server.tls, 'TLSv1.2');
  const port = await server.listen(options.webhookPort, options.bindAddress);
  const close = async (): Promise<void> => {
    detach();
    await server.close();
  };
  return { port, close };
}
