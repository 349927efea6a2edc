import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
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

/** Remembers, of each policy, at which servers its probe cannot work: somebody has to change the one or the other. */
export class ProbeProblems {
  readonly #changed: (policy: RequestKey) => void;
  readonly #policies = new Map<string, Map<string, FailureReason>>();

  constructor(changed: (policy: RequestKey) => void) {
    this.#changed = changed;
  }

  of({ namespace = '', name }: RequestKey): readonly ProbeProblem[] {
    const problems = this.#policies.get(`${namespace}/${name}`) ?? new Map<string, FailureReason>();
    return [...problems].map(([server, reason]) => ({ server, reason }));
  }

  take({ metadata }: McpServer, { finding, probe }: Tried): void {
    const { namespace = '', name: server } = metadata;
    const key = `${namespace}/${probe.policy}`;
    const problems = this.#policies.get(key) ?? new Map<string, FailureReason>();
    const reason = problemOf(finding.reason);
    // No answer says nothing of the policy either.
    if (reason === undefined && finding.verdict === undefined) return;
    if (problems.get(server) === reason) return;
    if (reason === undefined) problems.delete(server);
    else if (problems.size < problemsPerPolicyMax) problems.set(server, reason);
    this.#keep(key, problems);
    this.#changed({ namespace, name: probe.policy });
  }

  #keep(key: string, problems: Map<string, FailureReason>): void {
    this.#policies.delete(key);
    if (problems.size > 0) this.#policies.set(key, problems);
    const [oldest] = this.#policies.keys();
    if (this.#policies.size > policiesMax && oldest !== undefined) this.#policies.delete(oldest);
  }
}

function problemOf(reason: Tried['finding']['reason']): FailureReason | undefined {
  return isFailure(reason) && probeReasons[reason].advice !== undefined ? reason : undefined;
}

function isFailure(reason: Tried['finding']['reason']): reason is FailureReason {
  return probeReasons[reason].verdict === undefined;
}
