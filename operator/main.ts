import 'reflect-metadata';

import process from 'node:process';

import { AuditError } from './audit/audit-error.ts';
import { EnvelopeError } from './envelope/errors.ts';
import { type ConnectionSource, inClusterConnection, kubeconfigConnection } from './kube/connection.ts';
import { KeyStoreError } from './keystore/errors.ts';
import { type OperatorOptions, parseOptions } from './options.ts';
import { createLog } from './telemetry/log.ts';
import { createMetrics } from './telemetry/metrics.ts';
import { operatorVersion } from './version.ts';
import { type Host, Operator } from './wiring/operator.ts';
import { createPlatform } from './wiring/platform.ts';

const exitCodes = { stopped: 0, failed: 1, badUsage: 2 } as const;

function connectionOf(options: OperatorOptions): ConnectionSource | undefined {
  if (options.kubeconfig !== undefined) return kubeconfigConnection(options.kubeconfig);
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
  return host === undefined || port === undefined ? undefined : inClusterConnection({ host, port });
}

function refuse(problems: readonly string[]): void {
  process.stderr.write(problems.map((problem) => `error: ${problem}\n`).join(''));
  process.exitCode = exitCodes.badUsage;
}

async function run(options: OperatorOptions, source: ConnectionSource): Promise<void> {
  const log = createLog({ level: options.logLevel, trustedErrors: [AuditError, EnvelopeError, KeyStoreError] });
  const metrics = createMetrics({ processMetrics: true });
  const platform = createPlatform({ options, source, log, metrics, version: operatorVersion });
  const host: Host = {
    exit: (code) => process.exit(code),
    writeLine: (line) => void process.stdout.write(line),
  };
  const operator = new Operator(platform, host);
  // A rejection that nobody waits for is a defect: going on with unknown state is worse than a restart.
  process.on('uncaughtException', (error, origin) => {
    log.error('defect', { origin, error });
    process.exit(exitCodes.failed);
  });
  let stopping = false;
  const stop = (): void => {
    if (stopping) return;
    stopping = true;
    void operator.drain().then(() => process.exit(exitCodes.stopped));
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  try {
    await operator.start();
  } catch (error) {
    // Being told to stop while starting is not a failure.
    if (stopping) return;
    log.error('cannot start', error instanceof Error ? { error } : {});
    process.exit(exitCodes.failed);
  }
}

const parsed = parseOptions(process.argv.slice(2));
switch (parsed.kind) {
  case 'help':
    process.stdout.write(parsed.text);
    break;
  case 'problems':
    refuse(parsed.problems);
    break;
  case 'options': {
    const source = connectionOf(parsed.options);
    if (source === undefined) refuse(['not in a cluster; give --kubeconfig']);
    else await run(parsed.options, source);
  }
}
