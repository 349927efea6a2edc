/** What a probe can find out about a key. Anything else is no verdict: what was known of the key stays. */
export type KeyVerdict = 'Accepted' | 'Rejected' | 'InsufficientScope';

/** What came of one probe, as far as it can matter. Nothing of an answer is in it. */
export type ProbeOutcome =
  /** The upstream answered with this HTTP status. `isExpected`: one of those that the policy names. */
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly isExpected: boolean;
      readonly meets: boolean;
      readonly endsAt?: string | undefined;
    }
  /** A tool was called, and its result came. */
  | { readonly kind: 'toolResult'; readonly isError: boolean; readonly meets: boolean }
  | { readonly kind: 'failed'; readonly reason: FailureReason };

/** Why there is no verdict: the first group mends itself, the second needs whoever wrote server or policy. */
export type FailureReason =
  | 'RateLimited'
  | 'UpstreamError'
  | 'TimedOut'
  | 'Unreachable'
  | 'TlsFailed'
  | 'AnswerTooLarge'
  | 'AnswerUnreadable'
  | 'Redirected'
  | 'StatusUnexpected'
  | 'Busy'
  | 'UpstreamSuspected'
  | 'AddressRefused'
  | 'OriginNotAllowed'
  | 'CaBundleMissing'
  | 'ToolNotListed'
  | 'CallRefused'
  | 'TransportUnsupported'
  | 'ExpectationTooLarge'
  | 'HeadersMissing'
  | 'ValuesTooLong';

export type ProbeReason =
  | 'Accepted'
  | 'KeyRefused'
  | 'ScopeMissing'
  | 'ExpectationMissed'
  | 'ToolFailed'
  | FailureReason;

export interface ProbeFinding {
  /** Absent: nothing was found out. */
  readonly verdict?: KeyVerdict;
  readonly reason: ProbeReason;
  /** When the upstream says that the key ends, RFC 3339. */
  readonly endsAt?: string;
}

interface ReasonRow {
  readonly verdict?: KeyVerdict;
  /** For the user; nothing of a key or an answer is in it. `upstream`: what users call it. `what`: the tool, or the place. */
  readonly sentence: (upstream: string, what: string) => string;
  /** What whoever wrote server or policy has to change. */
  readonly advice?: string;
}

/** Every reason, what it says of a key, and in which words. */
export const probeReasons: Readonly<Record<ProbeReason, ReasonRow>> = {
  Accepted: { verdict: 'Accepted', sentence: (upstream) => `${upstream} accepts the key.` },
  KeyRefused: { verdict: 'Rejected', sentence: (upstream) => `${upstream} refuses the key (401).` },
  ScopeMissing: {
    verdict: 'InsufficientScope',
    sentence: (upstream, what) => `${upstream} knows the key, but the key lacks the rights for ${what} (403).`,
  },
  ExpectationMissed: {
    verdict: 'Rejected',
    sentence: (upstream, what) => `${upstream} does not answer ${what} as it answers to a key that works.`,
  },
  ToolFailed: { verdict: 'Rejected', sentence: (upstream, what) => `${upstream} answers ${what} with an error.` },
  RateLimited: { sentence: (upstream) => `${upstream} takes no more requests at the moment (429).` },
  UpstreamError: { sentence: (upstream) => `${upstream} has a problem of its own (5xx).` },
  TimedOut: { sentence: (upstream) => `${upstream} does not answer in time.` },
  Unreachable: { sentence: (upstream) => `${upstream} cannot be reached.` },
  TlsFailed: { sentence: (upstream) => `The certificate of ${upstream} cannot be verified.` },
  AnswerTooLarge: { sentence: (upstream) => `The answer of ${upstream} is too long.` },
  AnswerUnreadable: { sentence: (upstream) => `The answer of ${upstream} cannot be read.` },
  Redirected: { sentence: (upstream) => `${upstream} wants the key to be sent elsewhere, where it is not sent.` },
  StatusUnexpected: {
    sentence: (upstream, what) => `${upstream} answers ${what} in a way that says nothing of the key.`,
  },
  Busy: { sentence: (upstream) => `Too many keys for ${upstream} are being tried at the moment.` },
  UpstreamSuspected: {
    sentence: (upstream) => `${upstream} refuses several users at once, so it may be its own fault.`,
  },
  AddressRefused: {
    sentence: (upstream) => `The host name of ${upstream} leads to an address that keys are not sent to.`,
    advice: 'allow private addresses in the McpServer if they are meant',
  },
  OriginNotAllowed: {
    sentence: (upstream) => `The policy wants to try the key where the McpServer of ${upstream} lets none go.`,
    advice: 'add the origin to authentication.probeOrigins of the McpServer, or correct validation.probe.http.url',
  },
  CaBundleMissing: {
    sentence: (upstream) => `The certificates to trust for ${upstream} are missing.`,
    advice: 'create the ConfigMap that caBundleRef names',
  },
  ToolNotListed: {
    sentence: (upstream, what) => `${upstream} does not list ${what}, with which the key would be tried.`,
    advice: 'correct validation.probe.tool.name, or let tools.allow have it',
  },
  CallRefused: {
    sentence: (upstream, what) => `${upstream} does not take the call of ${what}, with which the key would be tried.`,
    advice: 'correct validation.probe.tool.arguments',
  },
  TransportUnsupported: {
    sentence: (upstream) => `${upstream} speaks the transport of 2024-11-05, on which no tool is called to try a key.`,
    advice: 'use validation.probe.http',
  },
  ExpectationTooLarge: {
    sentence: (upstream) => `The expression that an answer of ${upstream} is held against is too large to be used.`,
    advice: 'write a shorter expect.matches, or fewer counted repeats',
  },
  HeadersMissing: {
    sentence: (upstream) => `A header that ${upstream} needs is not set yet, so the key was not tried.`,
  },
  ValuesTooLong: { sentence: (upstream) => `The values for ${upstream} are too long together to be tried.` },
};

/** Longest sentence that a status takes. */
export const messageCharsMax = 256;

/** Pure. The table of what an outcome says. */
export function judgeProbe(outcome: ProbeOutcome): ProbeFinding {
  const reason = reasonOf(outcome);
  const { verdict } = probeReasons[reason];
  const endsAt = outcome.kind === 'status' && verdict !== 'Rejected' ? outcome.endsAt : undefined;
  return { ...(verdict === undefined ? {} : { verdict }), reason, ...(endsAt === undefined ? {} : { endsAt }) };
}

function reasonOf(outcome: ProbeOutcome): ProbeReason {
  switch (outcome.kind) {
    case 'failed':
      return outcome.reason;
    case 'toolResult':
      if (outcome.isError) return 'ToolFailed';
      return outcome.meets ? 'Accepted' : 'ExpectationMissed';
    case 'status':
      if (outcome.isExpected) return outcome.meets ? 'Accepted' : 'ExpectationMissed';
      return reasonOfStatus(outcome.status);
  }
}

function reasonOfStatus(status: number): ProbeReason {
  if (status === 401) return 'KeyRefused';
  if (status === 403) return 'ScopeMissing';
  if (status === 429) return 'RateLimited';
  if (status >= 500) return 'UpstreamError';
  return status >= 300 && status < 400 ? 'Redirected' : 'StatusUnexpected';
}

/** How much a verdict weighs where several probes have to pass. */
const weights: Readonly<Record<KeyVerdict | 'none', number>> = {
  Rejected: 3,
  InsufficientScope: 2,
  none: 1,
  Accepted: 0,
};

/** Pure. All probes have to pass, so the worst finding counts; the first of several. */
export function worstFinding(findings: readonly ProbeFinding[]): ProbeFinding | undefined {
  return findings.toSorted((left, right) => weightOf(right) - weightOf(left))[0];
}

function weightOf({ verdict }: ProbeFinding): number {
  return weights[verdict ?? 'none'];
}
