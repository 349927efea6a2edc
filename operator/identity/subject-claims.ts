import type { JWTPayload } from 'jose';

import type { OidcIssuer } from './oidc.ts';
import { identityLimits } from './identity-limits.ts';

export interface SubjectClaims {
  readonly id: string;
  readonly name: string;
  readonly groups: readonly string[];
}

/** Control characters would let a name rewrite a terminal or a log line. */
// eslint-disable-next-line no-control-regex -- that is what is looked for
const unprintable = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;

/** Reads the claims that the organization mapped. Undefined when nobody is named. Only a token's own properties are looked at. */
export function readSubject(payload: JWTPayload, names: OidcIssuer['claims']): SubjectClaims | undefined {
  const id = readText(payload, names.subject, identityLimits.subjectIdCharsMax);
  if (id === undefined) return undefined;
  return {
    id,
    name: readText(payload, names.name, identityLimits.subjectNameCharsMax) ?? id,
    groups: readGroups(payload, names.groups),
  };
}

function readText(payload: JWTPayload, name: string, charsMax: number): string | undefined {
  const value = ownClaim(payload, name);
  if (typeof value !== 'string' || value === '' || value.length > charsMax) return undefined;
  return unprintable.test(value) ? undefined : value;
}

/** Groups that cannot be read are left out: less is allowed then, never more. */
function readGroups(payload: JWTPayload, name: string): readonly string[] {
  const value = ownClaim(payload, name);
  const listed: readonly unknown[] = typeof value === 'string' ? [value] : Array.isArray(value) ? value : [];
  return listed
    .filter((group): group is string => typeof group === 'string' && group.length <= identityLimits.groupCharsMax)
    .slice(0, identityLimits.groupsMax);
}

function ownClaim(payload: JWTPayload, name: string): unknown {
  return Object.hasOwn(payload, name) ? payload[name] : undefined;
}
