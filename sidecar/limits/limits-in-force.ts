import type { LimitRule, LimitRules } from '../contract/quota.ts';
import type { PolicySnapshot } from '../contract/watch.ts';
import type { RequestMessage } from '../mcp/message.ts';
import { initialize, toolCall } from '../mcp/methods.ts';
import { toolFilter } from '../mcp/tool-rules.ts';

/** Which limits count a request. */
export interface Limits {
  readonly onStoreFailure: LimitRules['onStoreFailure'];
  /** Empty: it is free. */
  of(message: RequestMessage): readonly LimitRule[];
}

/** What a client has to ask to find out whom it talks to, and whether it still does. */
const free: ReadonlySet<string> = new Set([initialize, 'ping', 'server/discover']);
/** Tools whose limits are remembered. */
const toolsMax = 1_024;

/** The limits of the policy that is in force at the moment of asking; undefined while there are none. */
export function limitsInForce(policy: () => PolicySnapshot | undefined): () => Limits | undefined {
  let compiledOf: PolicySnapshot | undefined;
  let limits: Limits | undefined;
  return () => {
    const current = policy();
    if (current !== compiledOf) {
      compiledOf = current;
      limits = current?.limits === undefined ? undefined : compile(current.limits);
    }
    return limits;
  };
}

function compile({ rules, onStoreFailure }: LimitRules): Limits {
  const requests = rules.filter(({ match }) => match === undefined);
  const tools = rules.flatMap((rule) =>
    rule.match === undefined ? [] : [{ rule, filter: toolFilter([{ allow: [rule.match] }]) }],
  );
  const known = new Map<string, readonly LimitRule[]>();
  return {
    onStoreFailure,
    of({ method, tool }) {
      if (free.has(method)) return none;
      if (method !== toolCall || tool === undefined || tools.length === 0) return requests;
      const found = known.get(tool);
      if (found !== undefined) return found;
      const all = [...requests, ...tools.flatMap(({ rule, filter }) => (filter?.allows(tool) === true ? [rule] : []))];
      if (known.size >= toolsMax) known.clear();
      known.set(tool, all);
      return all;
    },
  };
}

const none: readonly LimitRule[] = [];
