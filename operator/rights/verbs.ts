import { group } from '#crds/v1alpha1/names.ts';
import type { ResourceAttributes } from '#operator/kube/resources.ts';

/**
 * Verbs of our own. The API server has no use for them; RBAC grants them like any other, and the operator asks before it does what
 * they are about. All are verbs on McpServers, of the whole namespace or of one by its name.
 */
export const rightVerbs = {
  use: { meaning: 'have a key of your own at the server', role: 'mcp-keyring-user' },
  approve: {
    meaning: 'let users have a key at the server, where a policy asks for approval',
    role: 'mcp-keyring-admin',
  },
  revoke: { meaning: 'put keys of others at the server out of use', role: 'mcp-keyring-admin' },
} as const satisfies Readonly<Record<string, { readonly meaning: string; readonly role: string }>>;

export type RightVerb = keyof typeof rightVerbs;

/** A verb on one server, or on all of its namespace when no server is named. */
export interface Right {
  readonly verb: RightVerb;
  readonly namespace: string;
  readonly server?: string;
}

/** The right as `kubectl auth can-i` would ask for it. */
export function attributesOf({ verb, namespace, server }: Right): ResourceAttributes {
  return { group, resource: 'mcpservers', verb, namespace, ...(server === undefined ? {} : { name: server }) };
}
