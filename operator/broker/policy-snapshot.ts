import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import type { HeaderHint } from '#contract/lease.ts';
import type { PolicySnapshot } from '#contract/watch.ts';
import type { EffectiveHeader } from '#operator/policy/effective-headers.ts';
import { limitRules } from '#operator/limits/limit-rules.ts';
import { bind } from '#operator/policy/bound-policies.ts';
import { effectiveHeaders } from '#operator/policy/effective-headers.ts';
import { requestBounds } from '#operator/policy/request-bounds.ts';
import { toolRules } from '#operator/policy/tool-rules.ts';

/** What of a snapshot comes from neither the server nor a policy. */
export type SnapshotExtras = Pick<
  PolicySnapshot,
  'keyPage' | 'sessionKey' | 'issuers' | 'scopes' | 'upstream' | 'allow'
>;

/** Pure. What a sidecar holds of its server and of the policies that are for it. */
export function policySnapshot(
  server: McpServer,
  policies: readonly UserKeyPolicy[],
  extras: SnapshotExtras = {},
): PolicySnapshot {
  const { name, namespace = '' } = server.metadata;
  const bound = bind(server, policies, { kind: 'everyUser' });
  const tools = toolRules(bound);
  const limits = limitRules(bound);
  const bounds = requestBounds(server);
  return {
    server: { namespace, name },
    title: server.spec.title ?? name,
    ...(server.spec.transport === 'SSE' ? { transport: 'SSE' as const } : {}),
    headers: effectiveHeaders(bound).map((header) => ({ ...hintOf(header), required: header.required })),
    ...(tools.length === 0 ? {} : { tools }),
    ...(limits === undefined ? {} : { limits }),
    ...(bounds === undefined ? {} : { bounds }),
    ...extras,
  };
}

export function hintOf({ name, title, help, helpURL }: EffectiveHeader): HeaderHint {
  return {
    name,
    ...(title === undefined ? {} : { title }),
    ...(help === undefined ? {} : { help }),
    ...(helpURL === undefined ? {} : { helpURL }),
  };
}
