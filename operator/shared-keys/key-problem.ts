import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import { type EffectiveHeader, sameHeader } from '#operator/policy/effective-headers.ts';

import type { SecretState } from './key-secret.ts';

/** Why the key in a Secret cannot be used at a server. */
export type KeyProblem =
  | { readonly kind: Exclude<SecretState['kind'], 'found'> }
  /** Whoever wrote the Secret has not said that it is for this server. */
  | { readonly kind: 'notForServer' }
  | { readonly kind: 'headersMissing'; readonly headers: readonly string[] }
  | { readonly kind: 'valuesUnusable'; readonly headers: readonly string[] };

export interface KeyQuestion {
  readonly server: Pick<McpServer, 'metadata'>;
  readonly headers: readonly EffectiveHeader[];
  readonly state: SecretState;
}

/** Pure. `undefined`: it can be used. */
export function keyProblem({ server, headers, state }: KeyQuestion): KeyProblem | undefined {
  if (state.kind !== 'found') return { kind: state.kind };
  if (!state.servers.includes(server.metadata.name)) return { kind: 'notForServer' };
  const entryOf = ({ name }: EffectiveHeader) => state.entries.find((entry) => sameHeader(entry.name, name));
  const missing = headers.filter((header) => header.required && entryOf(header) === undefined);
  if (missing.length > 0) return { kind: 'headersMissing', headers: missing.map(({ name }) => name) };
  const unusable = headers.filter((header) => entryOf(header)?.isPrintable === false);
  return unusable.length > 0 ? { kind: 'valuesUnusable', headers: unusable.map(({ name }) => name) } : undefined;
}
