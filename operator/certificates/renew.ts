import type { CertificateDecision, ObservedCertificates } from './decide.ts';
import { issueAuthority, issueLeaf } from './issue.ts';
import type { CertificateLifetimes } from './lifetimes.ts';
import type { TlsState } from './tls-state.ts';

/** More predecessors than this are not kept: the oldest goes. */
const retiredMax = 4;

interface RenewOptions {
  readonly dnsNames: readonly string[];
  readonly lifetimes: CertificateLifetimes;
  readonly nowMs: number;
}

/** The state that a decision leads to; `undefined` when there is nothing to do. Makes keys, touches nothing else. */
export async function renew(
  decision: CertificateDecision,
  observed: ObservedCertificates,
  nowMs: number,
): Promise<TlsState | undefined> {
  const options = { dnsNames: observed.dnsNames, lifetimes: observed.lifetimes, nowMs };
  if (decision.kind === 'initialise') return initialState(options);
  if (decision.kind === 'keep' || observed.reading.kind !== 'held') return undefined;
  return nextState(decision.kind, observed.reading.state, options);
}

async function initialState(options: RenewOptions): Promise<TlsState> {
  const active = await issueAuthority(options.nowMs, options.lifetimes);
  return { active, staged: undefined, retired: [], leaf: await issueLeaf({ ...options, authority: active }) };
}

type Step = Exclude<CertificateDecision['kind'], 'keep' | 'initialise'>;

const steps: Readonly<Record<Step, (state: TlsState, options: RenewOptions) => Promise<TlsState>>> = {
  stageCa: async (state, { nowMs, lifetimes }) => ({ ...state, staged: await issueAuthority(nowMs, lifetimes) }),
  promoteCa: promote,
  renewLeaf: async (state, options) => ({ ...state, leaf: await issueLeaf({ ...options, authority: state.active }) }),
  retireCa: async (state, { nowMs }) => ({ ...state, retired: state.retired.filter(({ untilMs }) => nowMs < untilMs) }),
};

function nextState(step: Step, state: TlsState, options: RenewOptions): Promise<TlsState> {
  return steps[step](state, options);
}

async function promote(state: TlsState, options: RenewOptions): Promise<TlsState> {
  const { staged, active } = state;
  if (staged === undefined) throw new Error('no CA is staged');
  const { lifetimes, nowMs } = options;
  const { pem, notBeforeMs, notAfterMs } = active;
  // A replica that was cut off serves the last leaf of the old CA for at most one more leaf life.
  const untilMs = nowMs + lifetimes.leafLifeMs + lifetimes.publishSettleMs;
  const retired = [{ pem, notBeforeMs, notAfterMs, untilMs }, ...state.retired].slice(0, retiredMax);
  return { active: staged, staged: undefined, retired, leaf: await issueLeaf({ ...options, authority: staged }) };
}
