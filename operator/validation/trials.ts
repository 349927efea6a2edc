import { writeKeyStatus } from '#operator/key-state/write-status.ts';
import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKey, UserKeyVerification } from '#crds/v1alpha1/generated/user-key.ts';
import type { AuditLog } from '#operator/audit/audit-log.ts';
import type { EndRecorder } from '#operator/key-state/end-recorder.ts';
import type { KubeClient } from '#operator/kube/client.ts';

import type { BudgetLimits } from './budget.ts';
import { sentenceOf } from './describe.ts';
import { nextProbeMs, retryProbeMs } from './plan.ts';
import type { KeyToTry, Prober, Tried } from './prober.ts';
import type { ValidationRules } from '#operator/policy/validation-rules.ts';
import type { ProbeReason } from './verdict.ts';
import type { UpstreamSuspicion } from './upstream-suspicion.ts';
import { nextVerification } from './verification.ts';

export interface KeyTrialsOptions {
  readonly prober: Pick<Prober, 'try'>;
  /** Fenced: only the leader tries keys. */
  readonly client: Pick<KubeClient, 'apply'>;
  readonly audit: Pick<AuditLog, 'append'>;
  readonly suspicion: Pick<UpstreamSuspicion, 'judge'>;
  readonly ends: Pick<EndRecorder, 'told'>;
  readonly now: () => Date;
  /** In [0, 1). */
  readonly random: () => number;
}

/** Who tries a key, and under which id that is on record. */
export interface TrialOrder {
  readonly actor: string;
  readonly eventId: string;
  readonly limits: BudgetLimits;
}

export interface RecordedTrial {
  readonly userKey: UserKey;
  readonly server: McpServer;
  readonly tried: Tried;
  readonly version: number;
  readonly rules: ValidationRules;
  /** Trials without a verdict that went before. */
  readonly attempts?: number;
}

/** Reasons for which nothing was sent anywhere. */
const untried: ReadonlySet<ProbeReason> = new Set(['Busy', 'HeadersMissing']);

/** Owns `status.verification` and nothing else. */
const fieldManager = 'mcp-keyring-validation';
/** After which a key without a verdict is tried again at the latest, where there is no schedule. */
const unscheduledMs = 86_400_000;

/** Tries keys, and puts on record that and what came of it. */
export class KeyTrials {
  readonly #options: KeyTrialsOptions;

  constructor(options: KeyTrialsOptions) {
    this.#options = options;
  }

  /** Undefined when no policy says how. @throws AuditError when it cannot be put on record */
  async try(key: KeyToTry, { actor, eventId, limits }: TrialOrder): Promise<Tried | undefined> {
    const { prober, audit, now } = this.#options;
    const tried = await prober.try(key, limits);
    if (tried === undefined || untried.has(tried.finding.reason)) return tried;
    const { organization, server, subject } = key.address;
    await audit.append({
      type: 'key.probed',
      id: eventId,
      at: now().toISOString(),
      organization,
      server,
      subject,
      ...(key.version === 0 ? {} : { keyVersion: key.version }),
      headerNames: key.values.map(({ name }) => name),
      verdict: tried.finding.verdict ?? 'none',
      reason: tried.finding.reason,
      actor,
    });
    return tried;
  }

  /** Writes on the UserKey what is known of this version. @throws KubeError */
  async record(trial: RecordedTrial): Promise<UserKeyVerification> {
    const { userKey, server, version } = trial;
    const tried = this.#judged(trial);
    const now = this.#options.now();
    const before = userKey.status?.verification;
    const known = { version, finding: tried.finding, message: sentenceOf(tried, server), now };
    const { failures } = nextVerification(before, { ...known, nextAt: undefined });
    const nextMs = this.#nextMs({ ...trial, tried }, failures);
    const verification = nextVerification(before, {
      ...known,
      nextAt: nextMs === undefined ? undefined : new Date(nextMs),
    });
    await writeKeyStatus(this.#options.client, userKey, { fieldManager, status: { verification } });
    this.#recordEnd(trial);
    return verification;
  }

  #recordEnd({ userKey, version, tried }: RecordedTrial): void {
    const { endsAt } = tried.finding;
    if (endsAt === undefined) return;
    // A key that was just set has a version that the cache does not show yet.
    const now = { ...userKey, status: { ...userKey.status, version } };
    this.#options.ends.told(now, version, Date.parse(endsAt));
  }

  /** What is found out about one user is weighed against what was found out about others. */
  #judged({ userKey, tried }: RecordedTrial): Tried {
    const { metadata, spec } = userKey;
    const server = { namespace: metadata.namespace ?? '', name: spec.serverRef.name };
    return { ...tried, finding: this.#options.suspicion.judge(server, metadata.name, tried.finding) };
  }

  #nextMs({ tried, rules, attempts = 0 }: RecordedTrial, failures: number): number | undefined {
    const { now, random } = this.#options;
    const { intervalMs = unscheduledMs, invalidAfterFailures } = rules;
    const { verdict, reason } = tried.finding;
    if (verdict === undefined) return retryProbeMs(now().getTime(), { intervalMs, attempts, random: random() });
    // What is not the upstream's own refusal may pass: a key must not wait for its schedule then.
    const mayPass = verdict === 'Rejected' && reason !== 'KeyRefused';
    if (verdict !== 'Accepted' && (mayPass || failures < invalidAfterFailures))
      return retryProbeMs(now().getTime(), { intervalMs, attempts: failures - 1, random: random() });
    return rules.intervalMs === undefined ? undefined : nextProbeMs(now().getTime(), rules.intervalMs, random());
  }
}
