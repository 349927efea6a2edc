import type { AccessToken } from '#crds/v1alpha1/generated/access-token.ts';
import type { TokenEvent } from '#operator/audit/audit-log.ts';

interface What {
  readonly type: TokenEvent['type'];
  readonly id: string;
  readonly at: Date;
  readonly actor: string;
}

/** Pure. The token is named by its object, which says nothing of the token itself. */
export function tokenEvent({ metadata, spec }: AccessToken, { type, id, at, actor }: What): TokenEvent {
  const { issuer, id: subjectId, name } = spec.owner;
  return {
    type,
    id,
    at: at.toISOString(),
    organization: spec.organization,
    subject: { issuer, id: subjectId, name },
    namespace: metadata.namespace ?? '',
    token: metadata.name,
    servers: spec.servers,
    actor,
  };
}
