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
  LocalEncryption: 'Organization: user keys are sealed with a key that lies in the same cluster.',
  SidecarsCurrent: 'McpServer: every pod carries the sidecar that would be injected now.',
  PolicyBound: 'McpServer: at least one UserKeyPolicy is for this server.',
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
  Reconciled: { meaning: 'Everything is as the spec says.' },
  Progressing: { meaning: 'Work is under way.' },
  ApplyFailed: {
    meaning: 'The API server refused or did not take a write; it is tried again.',
    runbook: 'apply-failed',
  },
  NameTaken: { meaning: 'An object of the needed name exists and is not ours.', runbook: 'name-taken' },
  Unsupported: { meaning: 'The spec asks for something that this version does not do.', runbook: 'unsupported' },

  NoConflict: { meaning: 'No other organization selects one of the namespaces.' },
  NamespaceSelectedTwice: { meaning: 'Two organizations select one namespace.', runbook: 'namespace-selected-twice' },
  CaBundleNotFound: {
    meaning: 'A ConfigMap that caBundleRef names does not exist or lacks the key.',
    runbook: 'ca-bundle-not-found',
  },
  CaNotPublished: {
    meaning: 'The CA bundle of the broker is not in every namespace yet.',
    runbook: 'ca-not-published',
  },
  KeyEncryptionKeyMissing: { meaning: 'There is no usable key-encryption key.', runbook: 'key-encryption-key-missing' },
  KeyInCluster: { meaning: 'The key-encryption key is a Secret of this cluster.', runbook: 'local-encryption' },

  NamespaceHasNoOrganization: {
    meaning: 'No organization selects the namespace.',
    runbook: 'namespace-has-no-organization',
  },
  NamespaceInSeveralOrganizations: {
    meaning: 'Several organizations select the namespace.',
    runbook: 'namespace-selected-twice',
  },
  NoPods: { meaning: 'No pod carries the label mcpkeyring.io/server of this server.', runbook: 'no-pods' },
  PodsNotReady: { meaning: 'There are pods, but none is ready.', runbook: 'pods-not-ready' },
  PodsWithoutSidecar: { meaning: 'Pods of the server run without the sidecar.', runbook: 'pods-without-sidecar' },
  AllSidecarsCurrent: { meaning: 'Every sidecar is of the current template.' },
  SidecarsOutdated: {
    meaning: 'Pods carry a sidecar of an older template; restart them.',
    runbook: 'sidecars-outdated',
  },
  PoliciesBound: { meaning: 'One or more policies are for this server.' },
  NoPolicy: { meaning: 'No policy is for this server; its own declaration counts.' },

  NoServersMatch: { meaning: 'The policy is for no McpServer.', runbook: 'no-servers-match' },
  HeaderNotDeclared: {
    meaning: 'The policy names a header that a server does not declare.',
    runbook: 'header-not-declared',
  },

  KeyStored: { meaning: 'Every required header has a value.' },
  HeadersMissing: { meaning: 'A required header has no value.', runbook: 'headers-missing' },
  DeclarationChanged: {
    meaning: 'The McpServer declares other headers than when the key was set.',
    runbook: 'headers-missing',
  },
  KeyMissing: { meaning: 'The sealed key is gone.', runbook: 'key-missing' },
  KeyUnreadable: { meaning: 'The sealed key does not open.', runbook: 'key-unreadable' },
  KeyRolledBack: { meaning: 'The sealed key is older than the version on record.', runbook: 'key-rolled-back' },
  ServerNotFound: { meaning: 'The McpServer does not exist.', runbook: 'server-not-found' },

  Answered: { meaning: 'The answer is in status.sealedResponse.' },
  Unreadable: { meaning: 'The request does not open with the key that it names.', runbook: 'request-unreadable' },
  KeyIdUnknown: { meaning: 'The request is sealed to a public key that is not in use any more; make it again.' },
  TooLate: { meaning: 'The request was not handled in time; make it again.' },
  Failed: { meaning: 'The operator could not carry the request out.', runbook: 'request-failed' },
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
