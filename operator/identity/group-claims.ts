import type { JWTPayload } from 'jose';

import { isJsonObject } from '#contract/fields.ts';

import { ownValue, unprintable } from './claim-values.ts';
import { identityLimits } from './identity-limits.ts';

export interface GroupClaim {
  /** Name of a claim, or the way to a member of one: `realm_access.roles`. A claim of exactly this name comes first. */
  readonly groups: string;
  /** Put before each group, so that those of one issuer cannot be taken for those of another. */
  readonly groupsPrefix?: string;
}

/** Groups that the API server gives; no other issuer may put its users into one. */
const clusterGroupPrefix = 'system:';

/**
 * Pure. The groups of a token; undefined when there are too many, or the issuer says that they are somewhere else: policies would then
 * be decided without a group that may be the one they are about. What no policy could name is left out.
 */
export function readGroups(payload: JWTPayload, { groups: path, groupsPrefix = '' }: GroupClaim) {
  const value = valueAt(payload, path);
  if (value === undefined && isElsewhere(payload, path)) return undefined;
  const listed: readonly unknown[] = typeof value === 'string' ? [value] : Array.isArray(value) ? value : [];
  if (listed.length > identityLimits.groupsMax) return undefined;
  const named = listed.filter((group) => typeof group === 'string').filter((group) => group !== '');
  return [...new Set(named.map((group) => `${groupsPrefix}${group}`))].filter(isNameable);
}

function isNameable(group: string): boolean {
  return (
    group.length <= identityLimits.groupCharsMax && !unprintable.test(group) && !group.startsWith(clusterGroupPrefix)
  );
}

function valueAt(payload: JWTPayload, path: string): unknown {
  const whole = ownValue(payload, path);
  if (whole !== undefined) return whole;
  const parts = path.split('.');
  if (parts.length > identityLimits.groupPathPartsMax) return undefined;
  let value: unknown = payload;
  for (const part of parts) value = isJsonObject(value) ? ownValue(value, part) : undefined;
  return value;
}

/** OpenID Connect Core 1.0, 5.6.2: distributed claims. Some providers move groups there when a user is in many. */
function isElsewhere(payload: JWTPayload, path: string): boolean {
  const names = ownValue(payload, '_claim_names');
  return isJsonObject(names) && ownValue(names, path) !== undefined;
}
