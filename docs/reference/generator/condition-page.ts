import { conditionReasons, conditionTypes } from '#crds/v1alpha1/conditions.ts';

import { code, prose, table } from './markdown.ts';

const intro = `# Conditions

<!-- Generated from crds/v1alpha1/conditions.ts by docs/reference/generate.ts; edit that file. -->

A condition says in \`status.conditions\` how an object fares: type, status (\`True\`, \`False\`, \`Unknown\`), reason, and a message for people that names what
to do. The types follow kstatus, so \`kubectl wait --for=condition=Ready\` works. Each change of a condition is also an Event on the object
(\`kubectl events --for mcpserver/<name>\`).

## Types
`;

const kinds = `
| kind | conditions it has |
|---|---|
| Organization | \`Ready\`, \`IssuersReachable\`, \`NamespacesConflict\`, \`KeyProtection\`; \`Reconciling\` or \`Stalled\` while true |
| McpServer | \`Ready\`, \`SidecarsCurrent\`, \`PolicyBound\`; \`SharedKeyUsable\` where the mode uses one; \`DiscoveryKeyUsable\` where one is named; \`Reconciling\` or \`Stalled\` while true |
| UserKeyPolicy | \`Ready\`; \`Reconciling\` or \`Stalled\` while true |
| UserKey | \`Ready\`; \`Stalled\` while true |
| UserKeyRequest | \`Complete\` |

\`NamespacesConflict\` and \`Stalled\` are bad news when \`True\`; all others when \`False\`. \`KeyProtection\` is \`False\` with the local KEK, which is not an
error: it says what the protection rests on. \`PolicyBound=False\` is not an error either.

## Reasons
`;

const headers = `
## Reasons of a header
A UserKey lists its headers in \`status.headers\`, each with a state and, when it is not \`Configured\`, a reason:

| reason | meaning |
|---|---|
| \`NotSet\` | The header is required and has no value. |
| \`OptionalNotSet\` | The header is optional and has no value; the key works without it. |
| \`KeyRolledBack\` | There is a sealed key, but it is older than the version on record, so nothing of it is used. |
| \`KeyRejected\` | The upstream refuses the key that the value came with. |
| \`ProbeFailed\` | Probes of the key fail. |
| \`ScopeMissing\` | The upstream knows the key, and it lacks rights. |
| \`KeyRevoked\` | Somebody has taken the key away for good. |
| \`ApprovalMissing\` | A policy wants approval, and there is none. |
| \`DeclaredExpiry\`, \`DetectedExpiry\`, \`MaxAge\` | Why the value ends, or has ended. |
`;

/** Types and reasons; a reason that asks for somebody's action links to what to do. */
export function conditionPage(): string {
  const types = Object.entries(conditionTypes).map(([type, meaning]) => [code(type), prose(meaning)]);
  const reasons = Object.entries(conditionReasons).map(([reason, { meaning, runbook }]) => [
    code(reason),
    prose(meaning),
    runbook === undefined ? '' : `[${runbook}](../runbooks/conditions.md#${runbook})`,
  ]);
  return [
    intro,
    table(['type', 'meaning'], types),
    kinds,
    table(['reason', 'meaning', 'what to do'], reasons),
    headers,
  ].join('\n');
}
