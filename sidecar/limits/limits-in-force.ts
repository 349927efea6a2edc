import type { UserRules } from '../contract/lease.ts';
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

/** The limits that are in force for the user of a request at the moment of asking; undefined while there are none. */
export type LimitsInForce = (record: { readonly userRules: UserRules | undefined }) => Limits | undefined;

export function limitsInForce(policy: () => PolicySnapshot | undefined): LimitsInForce {
  let compiledOf: PolicySnapshot | undefined;
  let limits: Limits | undefined;
  return ({ userRules }) => {
    const current = policy();
    if (current !== compiledOf) {
      compiledOf = current;
      limits = current?.limits === undefined ? undefined : compile(current.limits);
    }
    return userRules?.limits === undefined ? limits : both(limits, limitsOfUser(userRules.limits));
  };
}

/** Limits of users last as long as leases, and are compiled once for each. */
const limitsOfUsers = new WeakMap<LimitRules, Limits>();

function limitsOfUser(rules: LimitRules): Limits {
  const known = limitsOfUsers.get(rules);
  if (known !== undefined) return known;
  const compiled = compile(rules);
  limitsOfUsers.set(rules, compiled);
  return compiled;
}

function both(ofAll: Limits | undefined, ofUser: Limits): Limits {
  if (ofAll === undefined) return ofUser;
  return {
    onStoreFailure: ofAll.onStoreFailure === 'Closed' ? 'Closed' : ofUser.onStoreFailure,
    of: (message) => [...ofAll.of(message), ...ofUser.of(message)],
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
