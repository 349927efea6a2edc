import { decideInjection } from './inject/decide.ts';
import type { Injection } from './inject/decide.ts';
import type { InjectionWorld } from './inject/plan.ts';
import type { Refusal, RefusalReason, SkipReason } from './inject/reasons.ts';
import type { AdmissionAnswer, AdmissionRequest } from './review.ts';

/** What was decided, for metrics and logs; a closed set of label values. */
export type AdmissionOutcome =
  | { readonly result: 'injected'; readonly reason: 'injected' }
  | { readonly result: 'skipped'; readonly reason: SkipReason }
  | { readonly result: 'refused'; readonly reason: RefusalReason };

export interface Admission {
  readonly answer: AdmissionAnswer;
  readonly outcome: AdmissionOutcome;
}

/** Pure: the same question to the same world has the same answer, on every replica. */
export function admitPod(request: AdmissionRequest, world: InjectionWorld): Admission {
  return admissionOf(decide(request, world));
}

function decide(request: AdmissionRequest, world: InjectionWorld): Injection {
  if (request.resource !== '/pods') return { kind: 'skip', reason: 'unsupportedResource' };
  if (request.operation !== 'CREATE') return { kind: 'skip', reason: 'unsupportedOperation' };
  return decideInjection(request.object, request.namespace, world);
}

function admissionOf(injection: Injection): Admission {
  if (injection.kind === 'refuse') {
    return { answer: refusalAnswer(injection), outcome: { result: 'refused', reason: injection.reason } };
  }
  if (injection.kind === 'skip') {
    const unchanged = { allowed: true, operations: [], warnings: [] } as const;
    return { answer: unchanged, outcome: { result: 'skipped', reason: injection.reason } };
  }
  const { operations, warnings } = injection;
  return { answer: { allowed: true, operations, warnings }, outcome: { result: 'injected', reason: 'injected' } };
}

/** 503 tells controllers that the same pod may do in a moment. */
function refusalAnswer(refusal: Refusal): AdmissionAnswer {
  return {
    allowed: false,
    httpCode: refusal.reason === 'notReady' ? 503 : 403,
    message: `MCP Keyring (${refusal.reason}): ${refusal.message}`,
  };
}
