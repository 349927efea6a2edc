import type { LimitRule } from '../../contract/quota.ts';
import type { Limiter, LimitVerdict } from '../../limits/limiter.ts';
import type { Limits, LimitsInForce } from '../../limits/limits-in-force.ts';
import { toolCall } from '../../mcp/methods.ts';
import { ProxyError } from '../errors.ts';
import type { ClassifiedRequest, Handler, Layer, Permission, ProxyResponse } from '../exchange.ts';

export interface LimitParts {
  readonly limits: LimitsInForce;
  readonly limiter: Pick<Limiter, 'take'>;
  readonly observer: LimitObserver;
  readonly now: () => Date;
}

export interface LimitObserver {
  limited(rule: LimitRule): void;
  /** Nobody could count. */
  uncounted(mode: Limits['onStoreFailure']): void;
}

/** Lets a user do so much and no more. What is free, and everything where nothing is limited, passes without a look at the clock. */
export function limit<R extends ClassifiedRequest>(parts: LimitParts): Layer<R> {
  return (inner) =>
    function limitRequest(request) {
      const { message } = request;
      const limits = message === undefined || message.kind === 'response' ? undefined : parts.limits(request.record);
      if (message === undefined || message.kind === 'response' || limits === undefined) return inner(request);
      // A server may take it for a call all the same, which nobody would count.
      if (message.kind === 'notification') {
        if (message.method !== toolCall) return inner(request);
        throw new ProxyError('InvalidMessage', 'A tool call needs an id.');
      }
      const subjectKey = countedFor(request.permission);
      const rules = limits.of(message);
      if (rules.length === 0 || subjectKey === undefined) return inner(request);
      const verdict = parts.limiter.take(subjectKey, rules);
      if (!(verdict instanceof Promise)) return goOn({ verdict, limits, parts }, request, inner);
      return verdict.then((late) => goOn({ verdict: late, limits, parts }, request, inner));
    };
}

/** The operator has a budget of its own for trying keys: what it tries is no user's use. */
function countedFor(permission: Permission): string | undefined {
  return permission.decision === 'granted' && permission.probe === true ? undefined : permission.subjectKey;
}

interface Judged {
  readonly verdict: LimitVerdict;
  readonly limits: Limits;
  readonly parts: LimitParts;
}

function goOn<R>({ verdict, limits, parts }: Judged, request: R, inner: Handler<R>): Promise<ProxyResponse> {
  switch (verdict.kind) {
    case 'granted':
      return inner(request);
    case 'limited':
      parts.observer.limited(verdict.rule);
      throw limited(verdict.rule, verdict.retryMs, parts.now());
    case 'unknown':
      parts.observer.uncounted(limits.onStoreFailure);
      if (limits.onStoreFailure === 'Open') return inner(request);
      throw new ProxyError('LimitsUnavailable', 'Nobody can count requests right now, so this one was not forwarded.');
    default:
      return verdict satisfies never;
  }
}

function limited({ match, max, per }: LimitRule, retryMs: number, now: Date): ProxyError {
  const what = match === undefined ? 'requests' : `calls of ${JSON.stringify(match)}`;
  const retryAfterSeconds = Math.max(1, Math.ceil(retryMs / 1_000));
  const limitedTo = { per, max, ...(match === undefined ? {} : { match }) };
  return new ProxyError(
    'Limited',
    `You may make ${max} ${what} per ${per.toLowerCase()} here. Try again in ${retryAfterSeconds} s.`,
    {
      retryAfterSeconds,
      data: { retryAfterMs: retryMs, limit: limitedTo, resetAt: new Date(now.getTime() + retryMs).toISOString() },
    },
  );
}
