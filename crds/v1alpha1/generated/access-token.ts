// Generated from crds/accesstokens.yaml by crds/generate.ts; edit that file.
import type { ObjectMeta } from '../object.ts';

/** A personal access token of one user, by its hash. Made by the operator for kubectl mcpkeys token create; deleting it revokes the token. */
export interface AccessToken {
  readonly apiVersion: 'mcpkeyring.io/v1alpha1';
  readonly kind: 'AccessToken';
  readonly metadata: ObjectMeta;
  readonly spec: AccessTokenSpec;
  readonly status?: AccessTokenStatus;
}

export interface AccessTokenOwner {
  readonly issuer: string;
  readonly id: string;
  readonly name: string;
}

export interface AccessTokenSpec {
  /** The organization that the namespace belonged to. In another one the token is of no use. */
  readonly organization: string;
  /** The user, as at a UserKey. */
  readonly owner: AccessTokenOwner;
  /** Groups of the user when the token was made. Policies are decided by them as long as it lives. */
  readonly groups: readonly string[];
  /** What the user calls it. */
  readonly title?: string;
  /** McpServers of this namespace at which the token is accepted. */
  readonly servers: readonly string[];
  /** SHA-256 of the token, base64url. The token itself is nowhere but with its user. */
  readonly hash: string;
  readonly expiresAt: string;
}

export interface AccessTokenStatus {
  /** When the token was last used; an hour or so behind. */
  readonly usedAt?: string;
}
