import type { ServerRef } from '#contract/lease.ts';
import { annotations, labels } from '#crds/v1alpha1/names.ts';

import { quote, refuse } from './reasons.ts';
import type { Refusal } from './reasons.ts';
import { refText } from './sidecar-container.ts';
import { isServerName } from './template.ts';

/** The part of the world that decides which servers an agent may call. */
export interface AgentWorld {
  readonly hasServer: (ref: ServerRef) => boolean;
  /** Names of the servers of a namespace that run outside the cluster. */
  readonly remoteServersIn: (namespace: string) => readonly string[];
  /** `undefined`: the namespace belongs to none, or to several. */
  readonly organizationOf: (namespace: string) => string | undefined;
}

export type AgentServers = { readonly kind: 'servers'; readonly servers: readonly ServerRef[] } | Refusal;

/** Each costs the sidecar a stream to the broker. The policy of the chart holds the same number. */
export const agentServersMax = 32;

/**
 * The servers that the author of a pod names, or the remote ones beside it; sorted, each once. A server of another organization is
 * answered like one that is not there.
 */
export function agentServers(
  podAnnotations: Readonly<Record<string, string>>,
  namespace: string,
  world: AgentWorld,
): AgentServers {
  const written = podAnnotations[annotations.agentServers];
  const read = written === undefined ? remoteServers(namespace, world) : readServers(written, namespace);
  if (read.kind === 'refuse') return read;
  if (read.servers.length > agentServersMax) {
    const message = `an agent calls at most ${agentServersMax} servers, and this one would call ${read.servers.length}; name the ones it needs in annotation ${annotations.agentServers}`;
    return refuse('agentServersInvalid', message);
  }
  const organization = world.organizationOf(namespace);
  const isOfOrganization = (ref: ServerRef): boolean =>
    ref.namespace === namespace || world.organizationOf(ref.namespace) === organization;
  const unknown = read.servers.find(
    (ref) => organization === undefined || !world.hasServer(ref) || !isOfOrganization(ref),
  );
  if (unknown === undefined) return read;
  const message = `the agent may call McpServers of the organization that namespace ${quote(namespace)} belongs to, and ${quote(refText(unknown))} is none of them; create it first, or correct annotation ${annotations.agentServers}`;
  return refuse('agentServerNotFound', message);
}

function remoteServers(namespace: string, world: AgentWorld): AgentServers {
  const servers = sorted(world.remoteServersIn(namespace).map((name) => ({ namespace, name })));
  if (servers.length > 0) return { kind: 'servers', servers };
  const message = `label ${labels.agent} is set, but namespace ${quote(namespace)} has no McpServer with upstream.remote; create one, or name servers in annotation ${annotations.agentServers}`;
  return refuse('agentServersMissing', message);
}

const namespacePattern = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;

function readServers(text: string, ownNamespace: string): AgentServers {
  const items = text.split(',').map((item) => item.trim());
  const found = new Map<string, ServerRef>();
  for (const item of items) {
    const ref = readServer(item, ownNamespace);
    if (ref === undefined) {
      const message = `annotation ${annotations.agentServers} has ${quote(item)}; write <namespace>/<name> of McpServers, separated by commas`;
      return refuse('agentServersInvalid', message);
    }
    found.set(refText(ref), ref);
  }
  return { kind: 'servers', servers: sorted([...found.values()]) };
}

/** Without a namespace it is a server beside the pod. */
function readServer(item: string, ownNamespace: string): ServerRef | undefined {
  const [namespace = '', name = '', ...more] = item.includes('/') ? item.split('/') : [ownNamespace, item];
  return more.length === 0 && namespacePattern.test(namespace) && isServerName(name) ? { namespace, name } : undefined;
}

function sorted(refs: readonly ServerRef[]): readonly ServerRef[] {
  return refs.toSorted((left, right) => (refText(left) < refText(right) ? -1 : 1));
}

/** Value of the annotation that says what was injected; the broker reads it. */
export function injectedServersText(servers: readonly ServerRef[]): string {
  return servers.map(refText).join(',');
}
