import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import { serviceName } from '#crds/v1alpha1/names.ts';
import type { AllowedSources, RequestBounds } from '#contract/watch.ts';
import type { PodRole } from '#operator/identity/pod-roles.ts';

import { durationMs } from './duration.ts';

/** Pure. `undefined` where the server says nothing. */
export function requestBounds({ spec: { limits = {} } }: McpServer): RequestBounds | undefined {
  const { connectTimeout, answerTimeout, maxBodyBytes } = limits;
  return unlessEmpty({
    ...(connectTimeout === undefined ? {} : { connectMsMax: durationMs(connectTimeout) }),
    ...(answerTimeout === undefined ? {} : { answerMsMax: durationMs(answerTimeout) }),
    ...(maxBodyBytes === undefined ? {} : { bodyBytesMax: maxBodyBytes }),
  });
}

/**
 * Pure. For the proxies of pods of one role. Beside the server the names of its Service count too: gateways and the operator use them,
 * and nobody outside the cluster can have them lead elsewhere. An agent's proxy serves its pod alone, under the names of loopback.
 */
export function allowedSources(
  server: McpServer,
  { role, clusterDomain }: { readonly role: PodRole; readonly clusterDomain: string },
): AllowedSources | undefined {
  const { hosts, origins } = server.spec.allow ?? {};
  if (role === 'agent') return undefined;
  const own = role === 'server' ? serviceNames(server, clusterDomain) : [];
  return unlessEmpty({
    ...(hosts === undefined ? {} : { hosts: [...hosts, ...own] }),
    ...(origins === undefined ? {} : { origins }),
  });
}

function serviceNames({ metadata: { name, namespace = '' } }: McpServer, clusterDomain: string): readonly string[] {
  const service = serviceName(name);
  const inCluster = `${service}.${namespace}.svc`;
  return [service, `${service}.${namespace}`, inCluster, `${inCluster}.${clusterDomain}`];
}

function unlessEmpty<T extends object>(value: T): T | undefined {
  return Object.keys(value).length === 0 ? undefined : value;
}
