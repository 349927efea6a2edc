// Generated from crds/userkeyrequests.yaml by crds/generate.ts; edit that file.
import type { Condition, ObjectMeta } from '../object.ts';

/** One order of a user to the operator (set, delete, list or show keys), sealed to the operator's public key. Made by kubectl mcpkeys, answered in status and removed soon after. */
export interface UserKeyRequest {
  readonly apiVersion: 'mcpkeyring.io/v1alpha1';
  readonly kind: 'UserKeyRequest';
  readonly metadata: ObjectMeta;
  readonly spec: UserKeyRequestSpec;
  readonly status?: UserKeyRequestStatus;
}

export interface UserKeyRequestRequester {
  readonly username: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  /** What the authenticator says besides; authorizers may go by it. Without the id of the credential. */
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

export interface UserKeyRequestSpec {
  /** Who made the request, exactly as the API server knows them; another name is refused. */
  readonly requester: UserKeyRequestRequester;
  /** The public key of ConfigMap mcp-keyring-intake that the request is sealed to. */
  readonly keyId: string;
  /** HPKE encapsulated key (X25519, 32 bytes), base64. */
  readonly enc: string;
  /** HPKE ciphertext, base64. */
  readonly ciphertext: string;
}

export interface UserKeyRequestStatus {
  /** The generation of spec that the rest of the status is about. */
  readonly observedGeneration?: number;
  /** The answer, sealed so that only the requester reads it, base64. */
  readonly sealedResponse?: string;
  readonly completedAt?: string;
  readonly conditions?: readonly Condition[];
}
