// Generated from crds/organizations.yaml by crds/generate.ts; edit that file.
import type { Condition, LabelSelector, ObjectMeta } from '../object.ts';

/** A tenant. It owns namespaces, and decides whose identity is trusted in them and how their keys are sealed. */
export interface Organization {
  readonly apiVersion: 'mcpkeyring.io/v1alpha1';
  readonly kind: 'Organization';
  readonly metadata: ObjectMeta;
  readonly spec: OrganizationSpec;
  readonly status?: OrganizationStatus;
}

export interface OrganizationCaBundleRef {
  readonly name: string;
  readonly key: string;
}

export interface OrganizationClaims {
  /** Stable id of the user; never an address that can be given to another person. */
  readonly subject: string;
  /** A claim, or a member of one by its path, for example realm_access.roles: a list of texts, or one text that is one group. */
  readonly groups: string;
  /** Put before each group of this issuer, for example `partner:`, where several issuers have groups of one name. */
  readonly groupsPrefix?: string;
  /** What people see. */
  readonly name: string;
}

export interface OrganizationIssuer {
  /** Name for people and messages. */
  readonly name: string;
  /** OIDC for an OpenID Connect provider; Kubernetes for users and ServiceAccounts of this cluster (TokenReview). */
  readonly type: 'OIDC' | 'Kubernetes';
  /** Exactly the `iss` claim of its tokens; keys are found at /.well-known/openid-configuration below it. */
  readonly issuerURL?: string;
  /** The token must name one of these in `aud`, so that a token made for something else is of no use here. */
  readonly audiences: readonly string[];
  /** What MCP clients ask for when their user logs in here (`scopes_supported` of RFC 9728), for example [openid, email, offline_access]; absent means openid. */
  readonly scopes?: readonly string[];
  /** ConfigMap in the operator's namespace with the PEM certificates to trust for issuerURL; absent means the public roots. */
  readonly caBundleRef?: OrganizationCaBundleRef;
  /** Claims of an OIDC token to read; ignored for type Kubernetes. */
  readonly claims: OrganizationClaims;
}

export interface OrganizationAccessTokens {
  readonly enabled: boolean;
  /** Longest life of a token, for example 90d. */
  readonly maxAge?: string;
}

export interface OrganizationIdentity {
  /** Identity providers whose tokens are accepted from MCP clients and from the command line. */
  readonly issuers: readonly OrganizationIssuer[];
  /** Personal access tokens for MCP clients that cannot log in. */
  readonly accessTokens?: OrganizationAccessTokens;
}

export interface OrganizationAdmins {
  readonly groups?: readonly string[];
  readonly users?: readonly string[];
}

export interface OrganizationKmsV2 {
  readonly name: string;
  /** Path of the unix socket, for example /var/run/kms/kms.sock. */
  readonly socket: string;
}

export interface OrganizationVaultTransit {
  readonly address: string;
  /** Mount path; absent means transit. */
  readonly mount?: string;
  readonly keyName: string;
  /** Role of the Kubernetes auth method. */
  readonly role?: string;
  readonly caBundleRef?: OrganizationCaBundleRef;
}

export interface OrganizationProvider {
  /** Keys in a Secret of the operator's namespace. Whoever reads that Secret and the sealed keys can open them. */
  readonly local?: Readonly<Record<string, never>>;
  /** A Kubernetes KMS v2 plugin beside the operator. */
  readonly kmsV2?: OrganizationKmsV2;
  /** A transit engine of Vault or OpenBao. */
  readonly vaultTransit?: OrganizationVaultTransit;
}

export interface OrganizationEncryption {
  readonly provider?: OrganizationProvider;
  /** How often a new key-encryption key is made, for example 30d. */
  readonly rotationInterval?: string;
}

export interface OrganizationSink {
  readonly name: string;
  readonly type: 'OTLP' | 'Syslog' | 'Webhook';
  readonly url: string;
}

export interface OrganizationAudit {
  /** True (also when absent): no key is handed out that is not on record. */
  readonly required?: boolean;
  /** How long events are kept, for example 400d. */
  readonly retention?: string;
  readonly sinks?: readonly OrganizationSink[];
}

export interface OrganizationSpec {
  /** Enterprise gives every user their own keys; Standard has organization-wide shared keys only. */
  readonly plan: 'Enterprise' | 'Standard';
  /** Labels of the namespaces that belong to this organization. A namespace that two organizations select is served for neither of them until that is settled. */
  readonly namespaceSelector: LabelSelector;
  /** Who is believed about who a user is. */
  readonly identity: OrganizationIdentity;
  /** Who administers this organization: users and groups by the names that the API server knows them by. They have the ClusterRole mcp-keyring-admin in each of its namespaces, by a RoleBinding that the operator keeps there. */
  readonly admins?: OrganizationAdmins;
  /** What wraps the data keys of this organization; absent means the local provider. */
  readonly encryption?: OrganizationEncryption;
  readonly audit?: OrganizationAudit;
}

export interface OrganizationStatusEncryption {
  /** The provider in use: local, kmsV2 or vaultTransit. */
  readonly provider?: string;
  /** The key-encryption key that new data keys are wrapped with. */
  readonly keyId?: string;
}

export interface OrganizationStatus {
  /** The generation of spec that the rest of the status is about. */
  readonly observedGeneration?: number;
  /** How many namespaces belong to this organization. */
  readonly namespaces?: number;
  readonly encryption?: OrganizationStatusEncryption;
  readonly conditions?: readonly Condition[];
}
