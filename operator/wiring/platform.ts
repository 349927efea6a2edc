import { createKubeClient } from '#operator/kube/api-client.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { type Clock, systemClock } from '#operator/kube/clock.ts';
import type { ConnectionSource } from '#operator/kube/connection.ts';
import type { Log } from '#operator/kube/observers.ts';
import { createTransport, type Transport } from '#operator/kube/transport.ts';
import type { OperatorOptions } from '#operator/options.ts';
import type { Metrics } from '#operator/telemetry/metrics.ts';

/** What every part stands on. */
export interface Platform {
  readonly options: OperatorOptions;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly source: ConnectionSource;
  readonly transport: Transport;
  /** Not fenced: reads, reviews, the lease, and the very first certificates and keys, which any replica may write. */
  readonly client: KubeClient;
}

export interface PlatformOptions {
  readonly options: OperatorOptions;
  readonly version: string;
  readonly source: ConnectionSource;
  readonly log: Log;
  readonly metrics: Metrics;
}

export function createPlatform(given: PlatformOptions): Platform {
  const { source, log, metrics, version } = given;
  const userAgent = `mcp-keyring-operator/${version}`;
  const transport = createTransport({ source, userAgent, observer: metrics.requests, log });
  return { ...given, clock: systemClock, transport, client: createKubeClient({ transport }) };
}
