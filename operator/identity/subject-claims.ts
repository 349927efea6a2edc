import type { JWTPayload } from 'jose';

import type { OidcIssuer } from './oidc.ts';
import { readGroups } from './group-claims.ts';
import { ownValue, unprintable } from './claim-values.ts';
import { identityLimits } from './identity-limits.ts';

export interface SubjectClaims {
  readonly id: string;
  readonly name: string;
  readonly groups: readonly string[];
}

/**
 * Reads the claims that the organization mapped. Undefined when nobody is named, or when it cannot be told in which groups they
 * are. Only a token's own properties are looked at.
 */
export function readSubject(payload: JWTPayload, names: OidcIssuer['claims']): SubjectClaims | undefined {
  const id = readText(payload, names.subject, identityLimits.subjectIdCharsMax);
  const groups = readGroups(payload, names);
  if (id === undefined || groups === undefined) return undefined;
  return { id, name: readText(payload, names.name, identityLimits.subjectNameCharsMax) ?? id, groups };
}

function readText(payload: JWTPayload, name: string, charsMax: number): string | undefined {
  const value = ownValue(payload, name);
  if (typeof value !== 'string' || value === '' || value.length > charsMax) return undefined;
  return unprintable.test(value) ? undefined : value;
}
