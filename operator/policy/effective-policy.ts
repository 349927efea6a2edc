import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';

import { type ApprovalRules, approvalRules } from './approval-rules.ts';
import { bind, type Bound, type PolicyUser } from './bound-policies.ts';
import { type EffectiveHeader, effectiveHeaders } from './effective-headers.ts';
import { type ExpiryRules, expiryRules } from './expiry-rules.ts';
import { type ValidationRules, validationRules } from './validation-rules.ts';

/** What is asked of the key of one user at one server, after every policy had its say: the strictest of each field. */
export interface EffectivePolicy {
  readonly headers: readonly EffectiveHeader[];
  readonly validation: ValidationRules;
  /** Undefined: nothing bounds how old it gets. */
  readonly expiry: ExpiryRules | undefined;
  /** Undefined: nobody has to let them. */
  readonly approval: ApprovalRules | undefined;
}

/** Pure. Policies of other namespaces, servers and users are left out, so callers may pass all they have. */
export function effectivePolicy(
  server: McpServer,
  policies: readonly UserKeyPolicy[],
  user: PolicyUser,
): EffectivePolicy {
  return effectiveOf(bind(server, policies, { kind: 'user', user }));
}

export function effectiveOf(bound: Bound): EffectivePolicy {
  return {
    headers: effectiveHeaders(bound),
    validation: validationRules(bound),
    expiry: expiryRules(bound),
    approval: approvalRules(bound),
  };
}

/** Pure. The user of a key while nobody asks for it: in the groups that they were in when they were seen last. */
export function policyUserOf({ spec, status }: Pick<UserKey, 'spec' | 'status'>): PolicyUser {
  return { subject: spec.subject, groups: status?.subject?.groups ?? [] };
}
