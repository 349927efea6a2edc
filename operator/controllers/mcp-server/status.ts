import type { KeyringCondition } from '#crds/v1alpha1/conditions.ts';
import type { McpServerStatus } from '#crds/v1alpha1/generated/mcp-server.ts';
import { gatewayPath, labels } from '#crds/v1alpha1/names.ts';

import { someOf, stampConditions } from '../conditions.ts';
import type { ServerFinding, Upstream } from './decide.ts';
import { formatsUsable } from './formats.ts';
import type { ObservedServer } from './observe.ts';
import { urlOf } from './resources.ts';
import { discoveryKeyUsable, sharedKeyUsable } from './shared-key.ts';
import type { SidecarCensus } from './sidecars.ts';

export interface ServerOutcome {
  readonly upstream: Upstream;
  readonly census: SidecarCensus;
  readonly finding: ServerFinding;
  readonly now: Date;
}

export function serverStatus(observed: ObservedServer, outcome: ServerOutcome): McpServerStatus {
  const { object, keys } = observed;
  const { upstream, census, finding, now } = outcome;
  const { generation } = object.metadata;
  const shared = sharedKeyUsable(observed);
  const conditions = [
    ...keylessReadiness(observed, shared, readiness(observed, finding)),
    ...shared,
    ...discoveryKeyUsable(observed),
    sidecarsCurrent(observed, census),
    policyBound(observed),
    ...formatsUsable(object),
  ];
  return {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    ...urlFields(observed, upstream),
    keys,
    sidecars: { current: census.current.length, outdated: census.outdated.length + census.absent.length },
    conditions: stampConditions(conditions, { previous: object.status?.conditions, generation, now }),
  };
}

/** Who is served where the only key that requests may carry is of no use? Nobody. */
function keylessReadiness(
  { keyUse }: ObservedServer,
  shared: readonly KeyringCondition[],
  ready: readonly KeyringCondition[],
): readonly KeyringCondition[] {
  if (ready.some(({ type, status }) => type === 'Ready' && status !== 'True')) return ready;
  if (keyUse === 'refusedByPlan') {
    return notReady(
      'PlanHasNoUserKeys',
      'The plan of the organization is Standard, which has shared keys only; set spec.authentication.mode to Shared and name a Secret in sharedKeySecretRef',
    );
  }
  const unusable = keyUse === 'shared' ? shared.find(({ status }) => status !== 'True') : undefined;
  return unusable === undefined ? ready : [{ ...unusable, type: 'Ready' }];
}

function urlFields({ object, gateway }: ObservedServer, upstream: Upstream): Pick<McpServerStatus, 'url'> {
  if (upstream.kind !== 'remote') return { url: urlOf(object, upstream.path) };
  const { name, namespace = '' } = object.metadata;
  return gateway === undefined ? {} : { url: `${gateway.url}${gatewayPath({ namespace, name })}` };
}

function readiness({ object }: ObservedServer, finding: ServerFinding): readonly KeyringCondition[] {
  const { name } = object.metadata;
  if (isOfRemote(finding)) return remoteReadiness(finding);
  switch (finding.kind) {
    case 'noOrganization':
      return notReady(
        'NamespaceHasNoOrganization',
        'No Organization selects this namespace, so no keys are handed out here; label the namespace as one of them asks for',
      );
    case 'excluded':
      return notReady(
        'NamespaceHasNoOrganization',
        'Admission does not look at this namespace, so no keys are ever handed out here; use another namespace',
      );
    case 'conflict':
      return notReady(
        'NamespacesConflict',
        `Organizations ${someOf(finding.organizations)} all select this namespace, so no keys are handed out here; let only one of them`,
      );
    case 'noPods':
      return notReady(
        'NoPods',
        `No pod with a sidecar is there; put the label ${labels.server}=${name} on the pod template of your workload, and restart it if it has the label`,
      );
    case 'podsNotReady':
      return notReady(
        'PodsNotReady',
        `No pod is ready: ${someOf(finding.pods)}; kubectl describe pod says what they wait for`,
      );
    case 'scaledToZero':
      return notReady('NoPods', 'spec.upstream.managed.replicas is 0; raise it to serve users');
    case 'deploymentProgressing':
      return [
        ...notReady('DeploymentProgressing', finding.message),
        { type: 'Reconciling', status: 'True', reason: 'DeploymentProgressing', message: finding.message },
      ];
    case 'deploymentUnavailable':
      return notReady('DeploymentUnavailable', `The Deployment cannot make its pods: ${finding.message}`);
    case 'serving':
      return [{ type: 'Ready', status: 'True', reason: 'Serving', message: `Served by ${count(finding.pods, 'pod')}` }];
    default:
      return finding satisfies never;
  }
}

type RemoteFinding = Extract<
  ServerFinding,
  { kind: 'servedToAgentsOnly' | 'gatewayNotReady' | 'caBundleMissing' | 'servedByGateway' }
>;

const remoteKinds: Readonly<Record<RemoteFinding['kind'], true>> = {
  servedToAgentsOnly: true,
  gatewayNotReady: true,
  caBundleMissing: true,
  servedByGateway: true,
};

function isOfRemote(finding: ServerFinding): finding is RemoteFinding {
  return Object.hasOwn(remoteKinds, finding.kind);
}

function remoteReadiness(finding: RemoteFinding): readonly KeyringCondition[] {
  switch (finding.kind) {
    case 'servedToAgentsOnly':
      return [
        {
          type: 'Ready',
          status: 'True',
          reason: 'ServedToAgentsOnly',
          message: `No gateway is installed, so only pods with the label ${labels.agent}=true reach it; for others set gateway.enabled in the values of the chart`,
        },
      ];
    case 'gatewayNotReady':
      return notReady('GatewayNotReady', 'No pod of the gateway is ready; look at the Deployment mcp-keyring-gateway');
    case 'caBundleMissing':
      return notReady(
        'CABundleNotFound',
        `ConfigMap ${finding.configMap} with key ${finding.key} and the label ${labels.caBundle}=true is not there, so no key is sent to the server`,
      );
    case 'servedByGateway':
      return [{ type: 'Ready', status: 'True', reason: 'Serving', message: 'Served by the gateway' }];
    default:
      return finding satisfies never;
  }
}

function sidecarsCurrent({ injection }: ObservedServer, census: SidecarCensus): KeyringCondition {
  const type = 'SidecarsCurrent';
  const behind = [...census.absent, ...census.outdated].toSorted();
  if (census.current.length + behind.length === 0) {
    return { type, status: 'Unknown', reason: 'NoPods', message: 'There are no pods' };
  }
  if (injection === undefined) {
    const message =
      'ConfigMap mcp-keyring-injection in the operator namespace names no usable sidecarImage; run helm upgrade';
    return { type, status: 'Unknown', reason: 'SidecarImageUnknown', message };
  }
  if (behind.length > 0) {
    const message = `Not on the current sidecar: ${someOf(behind)}; restart their workload (kubectl rollout restart)`;
    return { type, status: 'False', reason: 'SidecarsOutdated', message };
  }
  return { type, status: 'True', reason: 'AllCurrent', message: `${count(census.current.length, 'pod')} up to date` };
}

function policyBound({ policies }: ObservedServer): KeyringCondition {
  const type = 'PolicyBound';
  if (policies.length === 0) {
    const message = 'No UserKeyPolicy is for this server; the headers are required or optional as declared here';
    return { type, status: 'False', reason: 'NoPolicy', message };
  }
  const message = `In force: ${someOf(policies.map(({ metadata }) => metadata.name))}`;
  return { type, status: 'True', reason: 'PoliciesBound', message };
}

function notReady(reason: KeyringCondition['reason'], message: string): readonly KeyringCondition[] {
  return [{ type: 'Ready', status: 'False', reason, message }];
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}
