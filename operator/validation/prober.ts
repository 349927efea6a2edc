import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import { isFieldValue, splitTemplate } from '#operator/broker/header-bytes.ts';
import type { KeyAddress, KeyHeader } from '#operator/keystore/key-store.ts';
import { type EffectiveHeader, sameHeader } from '#operator/policy/effective-headers.ts';
import type { UpstreamSources } from '#operator/policy/server-upstream.ts';

import { type BudgetLimits, budgetName, ProbeBudget } from './budget.ts';
import { type KeyField, type Lookup, type Network, ProbeFailure } from './checked-request.ts';
import { probeByHttp } from './http-probe.ts';
import type { ProbeCredentials } from './probe-credential.ts';
import { probeTarget, type ProbeTarget } from './probe-target.ts';
import type { SourcedProbe } from '#operator/policy/validation-rules.ts';
import { probeByTool } from './tool-probe.ts';
import { judgeProbe, type ProbeFinding, type ProbeOutcome, worstFinding } from './verdict.ts';

/** A key that is to be tried. Its values stay the property of who gave them. */
export interface KeyToTry {
  readonly server: McpServer;
  /** In force for the user. */
  readonly headers: readonly EffectiveHeader[];
  readonly address: KeyAddress;
  /** 0: it is not stored. */
  readonly version: number;
  readonly values: readonly KeyHeader[];
  readonly probes: readonly SourcedProbe[];
}

/** What was found out, and by which probe. */
export interface Tried {
  readonly finding: ProbeFinding;
  readonly probe: SourcedProbe;
}

export interface ProbeObserver {
  /** `reason` is one of a closed set. */
  probed(sample: {
    readonly kind: 'http' | 'tool' | 'none';
    readonly finding: ProbeFinding;
    readonly seconds: number;
  }): void;
}

export interface ProberOptions {
  readonly upstreams: UpstreamSources;
  readonly credentials: Pick<ProbeCredentials, 'seal'>;
  readonly budget: ProbeBudget;
  readonly lookup: Lookup;
  readonly observer: ProbeObserver;
  readonly monotonicMs: () => number;
  /** Told of every probe of a policy that was carried out at a server. */
  readonly tried: (server: McpServer, tried: Tried) => void;
}

/** Longest that one probe takes, with all its requests, and all probes of one key. */
export const probeMsMax = 10_000;
const trialMsMax = 20_000;
/** Of one server and user; more policies with probes than that are not looked at. */
export const probesMax = 8;

/** Tries keys at their upstreams. */
export class Prober {
  readonly #options: ProberOptions;

  constructor(options: ProberOptions) {
    this.#options = options;
  }

  /** Where the probes would go, without those that cannot be carried out. */
  upstreamsOf(server: McpServer, probes: readonly SourcedProbe[]): readonly string[] {
    return probes.slice(0, probesMax).flatMap(({ probe }) => {
      const target = probeTarget(server, probe, this.#options.upstreams);
      return target.kind === 'impossible' ? [] : [target.upstream];
    });
  }

  /** All probes have to pass; the worst finding counts. Undefined when there are none. */
  async try(key: KeyToTry, limits: BudgetLimits): Promise<Tried | undefined> {
    const probes = key.probes.slice(0, probesMax);
    const [first] = probes;
    if (first === undefined) return undefined;
    const fields = fieldsOf(key);
    if (fields === undefined) return { finding: { reason: 'HeadersMissing' }, probe: first };
    const { organization } = key.address;
    const upstreams = this.upstreamsOf(key.server, probes).map((upstream) => budgetName(organization, upstream));
    using place = this.#options.budget.enter({ organization, upstreams }, limits);
    if (place === undefined) return { finding: { reason: 'Busy' }, probe: first };
    const deadline = AbortSignal.timeout(trialMsMax);
    const tried: Tried[] = [];
    for (const probe of probes) tried.push(await this.#probe(key, { fields, probe, deadline }));
    const worst = worstFinding(tried.map(({ finding }) => finding));
    return withEnd(
      tried.find(({ finding }) => finding === worst),
      tried,
    );
  }

  async #probe(key: KeyToTry, { fields, probe, deadline }: OneProbe): Promise<Tried> {
    const { observer, monotonicMs, upstreams } = this.#options;
    const startedAtMs = monotonicMs();
    const target = probeTarget(key.server, probe.probe, upstreams);
    const signal = AbortSignal.any([deadline, AbortSignal.timeout(probeMsMax)]);
    const network = { lookup: this.#options.lookup, signal };
    const finding =
      target.kind === 'impossible' ? { reason: target.reason } : await this.#findOut(key, { fields, target, network });
    const seconds = (monotonicMs() - startedAtMs) / 1_000;
    observer.probed({ kind: target.kind === 'impossible' ? 'none' : target.kind, finding, seconds });
    const tried = { finding, probe };
    // What keeps it from being carried out shows in the objects themselves.
    if (target.kind !== 'impossible') this.#options.tried(key.server, tried);
    return tried;
  }

  async #findOut(key: KeyToTry, sending: Sending): Promise<ProbeFinding> {
    try {
      return judgeProbe(await this.#send(key, sending));
    } catch (error) {
      if (error instanceof ProbeFailure) return { reason: error.reason };
      throw error;
    }
  }

  #send(key: KeyToTry, { fields, target, network }: Sending): Promise<ProbeOutcome> {
    if (target.kind === 'http') return probeByHttp(target, fields, network);
    const { place, url, tool } = target;
    if (place.kind === 'outside') return probeByTool({ place, url, keys: fields }, tool, network);
    const { organization, server, serverUid, subject } = key.address;
    const claims = { organization, server, serverUid, subject, keyVersion: key.version };
    const credential = this.#options.credentials.seal(claims, key.values);
    if (credential === undefined) throw new ProbeFailure('ValuesTooLong');
    return probeByTool({ place, url, keys: [], credential }, tool, network);
  }
}

/** Whichever probe has heard of it. */
function withEnd(worst: Tried | undefined, tried: readonly Tried[]): Tried | undefined {
  const [endsAt] = tried.flatMap(({ finding }) => finding.endsAt ?? []).toSorted();
  return worst === undefined || endsAt === undefined ? worst : { ...worst, finding: { ...worst.finding, endsAt } };
}

interface OneProbe {
  readonly fields: readonly KeyField[];
  readonly probe: SourcedProbe;
  readonly deadline: AbortSignal;
}

interface Sending {
  readonly fields: readonly KeyField[];
  readonly target: Exclude<ProbeTarget, { kind: 'impossible' }>;
  readonly network: Network;
}

/** Undefined when a required header has no value, or one that cannot be sent. */
function fieldsOf({ headers, values }: KeyToTry): readonly KeyField[] | undefined {
  const fields: KeyField[] = [];
  for (const { name, template, required } of headers) {
    const value = values.find((one) => sameHeader(one.name, name))?.value;
    const split = splitTemplate(template);
    if (value !== undefined && split !== undefined && isFieldValue(split, value.bytes)) {
      fields.push({ name, template: split, value });
    } else if (required || value !== undefined) {
      return undefined;
    }
  }
  return fields;
}
