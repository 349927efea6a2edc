import type { KeyringCondition } from '#crds/v1alpha1/conditions.ts';
import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKeyPolicy, UserKeyPolicyStatus } from '#crds/v1alpha1/generated/user-key-policy.ts';

import type { ProbeProblem } from '#operator/validation/probe-problems.ts';
import { probeReasons } from '#operator/validation/verdict.ts';

import { someOf, stampConditions } from '../conditions.ts';
import type { PolicyFinding } from './decide.ts';

export interface PolicyOutcome {
  readonly finding: PolicyFinding;
  readonly bound: readonly McpServer[];
  readonly now: Date;
}

export function policyStatus(policy: UserKeyPolicy, { finding, bound, now }: PolicyOutcome): UserKeyPolicyStatus {
  const { generation } = policy.metadata;
  return {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    servers: bound.length,
    conditions: stampConditions([ready(finding, bound)], { previous: policy.status?.conditions, generation, now }),
  };
}

function ready(finding: PolicyFinding, bound: readonly McpServer[]): KeyringCondition {
  const servers = bound.map(({ metadata }) => metadata.name).toSorted();
  switch (finding.kind) {
    case 'bound':
      return { type: 'Ready', status: 'True', reason: 'Bound', message: `In force at ${someOf(servers)}` };
    case 'noServers':
      return notReady('NoServers', 'No McpServer of this namespace matches spec.servers; correct it or add the server');
    case 'serversNotFound':
      return notReady(
        'ServersNotFound',
        `No McpServer ${someOf(finding.names)} in this namespace; correct spec.servers.names or add it` +
          (servers.length === 0 ? '' : `. In force at ${someOf(servers)}`),
      );
    case 'headersNotDeclared':
      return notReady(
        'HeadersNotDeclared',
        `No bound McpServer declares ${someOf(finding.names)}; add it to spec.authentication.headers there, or remove it here`,
      );
    case 'timeZoneUnknown':
      return notReady(
        'TimeZoneUnknown',
        `No time zone ${finding.timeZone} is known, so days begin at midnight UTC; write a name like Europe/Berlin in limits.timeZone`,
      );
    case 'probeMissing':
      return notReady(
        'ProbeMissing',
        `It says when keys are tried at ${someOf(finding.servers)}, and no policy says how; write validation.probe`,
      );
    case 'probeImpossible':
      return probeImpossible(finding.problems);
    default:
      return finding satisfies never;
  }
}

function probeImpossible(problems: readonly ProbeProblem[]): KeyringCondition {
  const [first] = problems;
  const { sentence, advice = '' } = probeReasons[first?.reason ?? 'ToolNotListed'];
  const why = sentence(first?.server ?? '', 'the tool of the probe').replace(/\.$/u, '');
  const more = problems.length > 1 ? ` (and at ${someOf(problems.slice(1).map(({ server }) => server))})` : '';
  return notReady('ProbeCannotRun', `${why}${more}; ${advice}`);
}

function notReady(reason: KeyringCondition['reason'], message: string): KeyringCondition {
  return { type: 'Ready', status: 'False', reason, message };
}
