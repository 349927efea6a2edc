import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKeyPolicyProbe } from '#crds/v1alpha1/generated/user-key-policy.ts';
import type { RequestKey } from '#operator/kube/request-key.ts';

import type { Tried } from './prober.ts';
import type { FailureReason } from './verdict.ts';
import { probeReasons } from './verdict.ts';

/** What keeps the probe of a policy from finding anything out at one server. */
export interface ProbeProblem {
  readonly server: string;
  readonly reason: FailureReason;
}

/** Policies remembered. */
const policiesMax = 4_096;
const problemsPerPolicyMax = 16;

interface Remembered {
  readonly reason: FailureReason;
  /** What it was found out of: of a policy or server that says something else by now nothing is known. */
  readonly about: string;
}

/** Remembers, of each policy, at which servers its probe cannot work: somebody has to change the one or the other. */
export class ProbeProblems {
  readonly #changed: (policy: RequestKey) => void;
  readonly #policies = new Map<string, Map<string, Remembered>>();

  constructor(changed: (policy: RequestKey) => void) {
    this.#changed = changed;
  }

  /** At `servers`, as they and the probe are now. */
  of(
    { namespace = '', name }: RequestKey,
    probe: UserKeyPolicyProbe,
    servers: readonly McpServer[],
  ): readonly ProbeProblem[] {
    const problems = this.#policies.get(`${namespace}/${name}`);
    return servers.flatMap((server) => {
      const known = problems?.get(server.metadata.name);
      return known?.about === aboutOf(server, probe) ? [{ server: server.metadata.name, reason: known.reason }] : [];
    });
  }

  take(server: McpServer, { finding, probe }: Tried): void {
    const { namespace = '', name } = server.metadata;
    const key = `${namespace}/${probe.policy}`;
    const problems = this.#policies.get(key) ?? new Map<string, Remembered>();
    const reason = problemOf(finding.reason);
    // No answer says nothing of the policy either.
    if (reason === undefined && finding.verdict === undefined) return;
    const about = aboutOf(server, probe.probe);
    const known = problems.get(name);
    if (known?.reason === reason && (known === undefined || known.about === about)) return;
    if (reason === undefined) problems.delete(name);
    else if (problems.size < problemsPerPolicyMax) problems.set(name, { reason, about });
    this.#keep(key, problems);
    this.#changed({ namespace, name: probe.policy });
  }

  #keep(key: string, problems: Map<string, Remembered>): void {
    this.#policies.delete(key);
    if (problems.size > 0) this.#policies.set(key, problems);
    const [oldest] = this.#policies.keys();
    if (this.#policies.size > policiesMax && oldest !== undefined) this.#policies.delete(oldest);
  }
}

function aboutOf({ metadata }: McpServer, probe: UserKeyPolicyProbe): string {
  return `${metadata.uid} ${metadata.generation} ${JSON.stringify(probe)}`;
}

function problemOf(reason: Tried['finding']['reason']): FailureReason | undefined {
  return isFailure(reason) && probeReasons[reason].advice !== undefined ? reason : undefined;
}

function isFailure(reason: Tried['finding']['reason']): reason is FailureReason {
  return probeReasons[reason].verdict === undefined;
}
