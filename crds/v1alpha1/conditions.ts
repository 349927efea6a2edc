/**
 * Every condition type and reason that the operator writes, with what it means. A reason that asks for somebody's action names the
 * heading of docs/runbooks/conditions.md that says what to do.
 */

import type { Condition } from './object.ts';

/** kstatus conventions: `Reconciling` and `Stalled` are there only while true; `Ready` is there from first sight on. */
export const conditionTypes = {
  Ready: 'The object does what its spec says.',
  Reconciling: 'The operator is still working towards the spec.',
  Stalled: 'The operator cannot get further until somebody changes something.',
  NamespacesConflict: 'Organization: a namespace is selected by another organization too, so neither serves it.',
  NamespacesExcluded: 'Organization: it selects namespaces where nobody is ever served.',
  IssuersReachable: 'Organization: the keys of every OIDC issuer can be read.',
  KeyProtection: 'Organization: what wraps the data keys of its user keys.',
  SidecarsCurrent: 'McpServer: every pod carries the sidecar that would be injected now.',
  PolicyBound: 'McpServer: at least one UserKeyPolicy is for this server.',
  FormatsUsable: 'McpServer: every rule for values can be used; only there while one cannot.',
  SharedKeyUsable:
    'McpServer: the key of the organization can be put into requests; only there where the mode uses one.',
  DiscoveryKeyUsable:
    'McpServer: the key for discovery can be put into requests; only there where the server names one.',
  Complete: 'UserKeyRequest: the request is answered.',
} as const;

export type ConditionType = keyof typeof conditionTypes;

interface ReasonEntry {
  readonly meaning: string;
  /** Heading in docs/runbooks/conditions.md. */
  readonly runbook?: string;
}

const reasonTable = {
  FirstSeen: { meaning: 'The object was just created; nothing is known yet.' },
  Applying: { meaning: 'Writes are under way.' },
  ApplyFailed: { meaning: 'A write did not reach the API server; it is tried again.', runbook: 'apply-failed' },
  ApplyRejected: { meaning: 'The API server refuses a write.', runbook: 'apply-rejected' },
  NameTaken: {
    meaning: 'An object of the needed name exists and belongs to somebody else.',
    runbook: 'name-taken',
  },

  Serving: { meaning: 'Organization, McpServer: users are served.' },
  CheckingIssuers: { meaning: 'Organization: the issuers have not answered yet.' },
  IssuersUnreachable: { meaning: 'Organization: an issuer cannot be used.', runbook: 'issuers-unreachable' },
  AllReachable: { meaning: 'Every OIDC issuer answers.' },
  NoOIDCIssuers: { meaning: 'There is no OIDC issuer to reach.' },
  Checking: { meaning: 'The issuers have not answered yet.' },
  CABundleNotFound: {
    meaning: 'A ConfigMap that caBundleRef names is missing or lacks the key.',
    runbook: 'ca-bundle-not-found',
  },
  DiscoveryFailed: { meaning: 'The discovery document of an issuer cannot be read.', runbook: 'discovery-failed' },
  IssuerMismatch: { meaning: 'The discovery document names another issuer.', runbook: 'issuer-mismatch' },
  SelectedByAnother: { meaning: 'Two organizations select one namespace.', runbook: 'namespaces-conflict' },
  NoConflict: { meaning: 'No other organization selects one of the namespaces.' },
  IssuerIsCluster: {
    meaning: "An OIDC issuer is this cluster's own; it has to be of type Kubernetes.",
    runbook: 'issuer-is-cluster',
  },
  AdmissionDoesNotLook: {
    meaning: 'The selector takes in namespaces that admission does not look at.',
    runbook: 'namespaces-excluded',
  },
  NoneExcluded: { meaning: 'Every selected namespace can be served.' },
  LocalKEK: { meaning: 'The key-encryption key is a Secret of this cluster.', runbook: 'local-kek' },

  NamespaceHasNoOrganization: {
    meaning: 'No organization selects the namespace.',
    runbook: 'namespace-has-no-organization',
  },
  NamespacesConflict: { meaning: 'Several organizations select the namespace.', runbook: 'namespaces-conflict' },
  NoPods: { meaning: 'No pod carries the label mcpkeyring.io/server of this server.', runbook: 'no-pods' },
  PodsNotReady: { meaning: 'Pods with the sidecar are there, but none is ready.', runbook: 'pods-not-ready' },
  DeploymentProgressing: { meaning: 'The managed Deployment is rolling out.' },
  DeploymentUnavailable: { meaning: 'No pod of the managed Deployment is ready.', runbook: 'deployment-unavailable' },
  ServedToAgentsOnly: {
    meaning: 'The server is remote, and without a gateway only agents reach it.',
    runbook: 'served-to-agents-only',
  },
  GatewayNotReady: { meaning: 'No pod of the gateway is ready.', runbook: 'gateway-not-ready' },
  AllCurrent: { meaning: 'Every sidecar is of the current template.' },
  SidecarsOutdated: {
    meaning: 'Pods carry a sidecar of an older template; restart them.',
    runbook: 'sidecars-outdated',
  },
  SidecarImageUnknown: { meaning: 'ConfigMap mcp-keyring-injection names no image.', runbook: 'sidecar-image-unknown' },
  PoliciesBound: { meaning: 'One or more policies are for this server.' },
  PatternTooLarge: {
    meaning: 'McpServer: a format.pattern compiles to more instructions than are allowed.',
    runbook: 'pattern-too-large',
  },
  NoPolicy: { meaning: 'No policy is for this server; its own declaration counts.' },

  SecretUsable: { meaning: 'McpServer: the Secret can be read and has a value for every required header.' },
  SecretNotRead: { meaning: 'McpServer: the Secret was not read yet, or the API server does not answer.' },
  SecretAccessMissing: {
    meaning: 'McpServer: the operator has no right to read the Secret.',
    runbook: 'secret-access-missing',
  },
  SecretNotFound: { meaning: 'McpServer: the Secret does not exist.', runbook: 'secret-not-found' },
  SecretNotForServer: {
    meaning: 'McpServer: the Secret does not say that it is for this server.',
    runbook: 'secret-not-for-server',
  },
  SecretIncomplete: { meaning: 'McpServer: the Secret has no entry for a header.', runbook: 'secret-incomplete' },
  SecretValuesUnusable: {
    meaning: 'McpServer: an entry of the Secret cannot stand in a header.',
    runbook: 'secret-values-unusable',
  },
  TooManySecrets: { meaning: 'McpServer: more Secrets are named than are followed.', runbook: 'too-many-secrets' },
  SharedKeyRejected: {
    meaning: 'McpServer: the upstream refuses the key of the organization (401).',
    runbook: 'shared-key-rejected',
  },
  PlanHasNoUserKeys: {
    meaning: 'McpServer: the plan of the organization has shared keys only, and the server wants keys of users.',
    runbook: 'plan-has-no-user-keys',
  },

  Bound: { meaning: 'UserKeyPolicy: it counts at every server that it is for.' },
  NoServers: { meaning: 'UserKeyPolicy: it is for no McpServer.', runbook: 'policy-without-servers' },
  ServersNotFound: {
    meaning: 'UserKeyPolicy: it names an McpServer that does not exist.',
    runbook: 'policy-without-servers',
  },
  HeadersNotDeclared: {
    meaning: 'UserKeyPolicy: it names a header that a server does not declare.',
    runbook: 'headers-not-declared',
  },

  TimeZoneUnknown: {
    meaning: 'UserKeyPolicy: `limits.timeZone` is no time zone that is known; days begin at midnight UTC.',
    runbook: 'time-zone-unknown',
  },
  ProbeMissing: {
    meaning: 'UserKeyPolicy: it says when keys are tried, and no policy says how.',
    runbook: 'probe-missing',
  },
  ProbeCannotRun: {
    meaning: 'UserKeyPolicy: keys cannot be tried in the way that it says.',
    runbook: 'probe-cannot-run',
  },

  Configured: { meaning: 'UserKey: every required header has a value.' },
  KeyMissing: { meaning: 'UserKey: there is no sealed key.', runbook: 'key-missing' },
  HeadersMissing: { meaning: 'UserKey: a required header has no value.', runbook: 'headers-missing' },
  KeyRolledBack: {
    meaning: 'UserKey: the sealed key is older than the version on record.',
    runbook: 'key-rolled-back',
  },
  KeyRevoked: {
    meaning: 'UserKey: somebody has taken the key away for good; its user sets a new one.',
    runbook: 'key-revoked',
  },
  ApprovalMissing: {
    meaning: 'UserKey: a policy wants approval, and there is none, or it was refused or has ended.',
    runbook: 'approval-missing',
  },
  KeyRejected: {
    meaning: 'UserKey: the upstream refuses the key that is set (401).',
    runbook: 'key-rejected',
  },
  KeyExpiring: {
    meaning:
      'UserKey: the key soon ends, or reaches the age that a policy lets it have; the message says why and when.',
    runbook: 'key-expired',
  },
  KeyExpired: {
    meaning:
      'UserKey: the key has ended, or is older than a policy lets it get; it is used only where the policy says `Warn`.',
    runbook: 'key-expired',
  },
  Unverified: { meaning: 'UserKey: no probe has shown yet that the key works; it is used.' },
  ScopeMissing: {
    meaning: 'UserKey: the upstream knows the key, but it lacks rights (403); it is used.',
    runbook: 'scope-missing',
  },
  ProbeFailed: { meaning: 'UserKey: probes show that the key does not work; it is not used.', runbook: 'probe-failed' },
  KeyUnreadable: { meaning: 'UserKey: the sealed key does not open.', runbook: 'key-unreadable' },
  ServerNotFound: { meaning: 'UserKey: the McpServer does not exist.', runbook: 'server-not-found' },
  NameMismatch: { meaning: 'UserKey: the name is not the one of its server and subject.', runbook: 'name-mismatch' },

  Answered: { meaning: 'UserKeyRequest: the answer is in status.sealedResponse.' },
  Unreadable: {
    meaning: 'UserKeyRequest: it does not open with the key that it names.',
    runbook: 'request-unreadable',
  },
  KeyIdUnknown: { meaning: 'UserKeyRequest: it is sealed to a public key that is no longer in use; make it again.' },
  TooLate: { meaning: 'UserKeyRequest: it was not handled in time; make it again.' },
  Failed: { meaning: 'UserKeyRequest: the operator could not carry it out.', runbook: 'request-failed' },
} as const satisfies Readonly<Record<string, ReasonEntry>>;

export type ConditionReason = keyof typeof reasonTable;

export const conditionReasons: Readonly<Record<ConditionReason, ReasonEntry>> = reasonTable;

/** A condition of ours, before the writer adds the time of its last transition. */
export interface KeyringCondition {
  readonly type: ConditionType;
  readonly status: Condition['status'];
  readonly reason: ConditionReason;
  readonly message: string;
}
