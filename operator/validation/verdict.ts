/** What a probe can find out about a key. Anything else is no verdict: what was known of the key stays. */
export type KeyVerdict = 'Accepted' | 'Rejected' | 'InsufficientScope';

/** What came of one probe, as far as it can matter. Nothing of an answer is in it. */
export type ProbeOutcome =
  /** The upstream answered with this HTTP status. `isExpected`: one of those that the policy names. */
  | { readonly kind: 'status'; readonly status: number; readonly isExpected: boolean; readonly meets: boolean }
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
  | 'AddressRefused'
  | 'OriginNotAllowed'
  | 'CaBundleMissing'
  | 'ToolNotListed'
  | 'CallRefused'
  | 'TransportUnsupported'
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
}

interface ReasonRow {
  readonly verdict?: KeyVerdict;
  /** For the user; nothing of a key or an answer is in it. */
  readonly message: string;
  /** What whoever wrote server or policy has to change. */
  readonly advice?: string;
}

/** Every reason, what it says of a key, and in which words. */
export const probeReasons: Readonly<Record<ProbeReason, ReasonRow>> = {
  Accepted: { verdict: 'Accepted', message: 'The upstream accepts the key.' },
  KeyRefused: { verdict: 'Rejected', message: 'The upstream refuses the key (401).' },
  ScopeMissing: {
    verdict: 'InsufficientScope',
    message: 'The upstream knows the key, but the key may not do this (403).',
  },
  ExpectationMissed: {
    verdict: 'Rejected',
    message: 'The upstream answers, but not as it answers to a key that works.',
  },
  ToolFailed: { verdict: 'Rejected', message: 'The tool that tries the key answers with an error.' },
  RateLimited: { message: 'The upstream takes no more requests at the moment (429).' },
  UpstreamError: { message: 'The upstream has a problem of its own (5xx).' },
  TimedOut: { message: 'The upstream does not answer in time.' },
  Unreachable: { message: 'The upstream cannot be reached.' },
  TlsFailed: { message: 'The certificate of the upstream cannot be verified.' },
  AnswerTooLarge: { message: 'The answer of the upstream is too long.' },
  AnswerUnreadable: { message: 'The answer of the upstream cannot be read.' },
  Redirected: { message: 'The upstream sends the probe elsewhere, where keys are not sent.' },
  StatusUnexpected: { message: 'The upstream answers with a status that says nothing about the key.' },
  Busy: { message: 'Too many keys of this server are being tried at the moment.' },
  AddressRefused: {
    message: 'The host name of the upstream leads to an address that keys are not sent to.',
    advice: 'Allow private addresses in the McpServer if they are meant.',
  },
  OriginNotAllowed: {
    message: 'The policy names a place that the server does not let keys go to.',
    advice: 'Add the origin to authentication.probeOrigins of the McpServer, or correct the URL.',
  },
  CaBundleMissing: {
    message: 'The certificates to trust are missing.',
    advice: 'Create the ConfigMap that caBundleRef names.',
  },
  ToolNotListed: {
    message: 'The server does not list the tool that tries the key.',
    advice: 'Correct validation.probe.tool.name of the policy, or let its tools.allow have it.',
  },
  CallRefused: {
    message: 'The server does not take the call of the tool that tries the key.',
    advice: 'Correct validation.probe.tool.arguments of the policy.',
  },
  TransportUnsupported: {
    message: 'Tools of a server with the transport of 2024-11-05 cannot be called to try a key.',
    advice: 'Use validation.probe.http.',
  },
  HeadersMissing: { message: 'A header that the server needs is not set yet.' },
  ValuesTooLong: { message: 'The values are too long together to be tried by a tool call.' },
};

/** Pure. The table of what an outcome says. */
export function judgeProbe(outcome: ProbeOutcome): ProbeFinding {
  const reason = reasonOf(outcome);
  const { verdict } = probeReasons[reason];
  return verdict === undefined ? { reason } : { verdict, reason };
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
