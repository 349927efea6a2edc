// Generated from crds/userkeypolicies.yaml by crds/generate.ts; edit that file.
import type { Condition, LabelSelector, ObjectMeta } from '../object.ts';

/** What is asked of user keys at some McpServers of the namespace. When several policies match, the strictest value of each field wins, and the McpServer's status says which. */
export interface UserKeyPolicy {
  readonly apiVersion: 'mcpkeyring.io/v1alpha1';
  readonly kind: 'UserKeyPolicy';
  readonly metadata: ObjectMeta;
  readonly spec: UserKeyPolicySpec;
  readonly status?: UserKeyPolicyStatus;
}

export interface UserKeyPolicyServers {
  readonly names?: readonly string[];
  /** Labels of the McpServers; empty means all of the namespace. */
  readonly selector?: LabelSelector;
}

export interface UserKeyPolicyServiceAccount {
  readonly namespace: string;
  readonly name: string;
}

export interface UserKeyPolicySubjects {
  /** As the identity provider names them; the Organization says where it does. */
  readonly groups?: readonly string[];
  /** Stable ids, as in spec.subject.id of UserKeys: the name that people see may change. */
  readonly users?: readonly string[];
  readonly serviceAccounts?: readonly UserKeyPolicyServiceAccount[];
}

export interface UserKeyPolicyKeys {
  /** Headers that a user must have set. */
  readonly required?: readonly string[];
  /** Headers that a user may leave out. Another policy that requires one wins. */
  readonly optional?: readonly string[];
}

export interface UserKeyPolicyExpect {
  /** JSONPath (RFC 9535) of names, indexes and *, for example $.structuredContent.login; one of the values it selects has to fit, or be there. */
  readonly path: string;
  readonly equals?: string;
  readonly contains?: string;
  /** RE2 expression for the whole value. */
  readonly matches?: string;
}

export interface UserKeyPolicyTool {
  readonly name: string;
  readonly arguments?: Readonly<Record<string, unknown>>;
  /** What the answer has to hold; a result that says isError never passes. */
  readonly expect?: UserKeyPolicyExpect;
}

export interface UserKeyPolicyHttp {
  /** At the server's own origin (remote), or at one of its authentication.probeOrigins. */
  readonly url: string;
  readonly method: 'GET' | 'HEAD' | 'POST';
  /** Statuses with which the upstream accepts the key; absent means 200 to 299. */
  readonly expectStatus?: readonly number[];
  /** What the answer has to hold; a result that says isError never passes. */
  readonly expect?: UserKeyPolicyExpect;
}

export interface UserKeyPolicyProbe {
  /** A tool call, through the same proxy and to the same place as the calls of users. */
  readonly tool?: UserKeyPolicyTool;
  /** A request of the operator, with the headers that the McpServer declares. Redirects are not followed. */
  readonly http?: UserKeyPolicyHttp;
}

export interface UserKeyPolicyValidation {
  /** Whether a key that fails the probe can be stored. */
  readonly onSave?: 'Enforce' | 'Warn' | 'Off';
  /** How often stored keys are probed again, for example 24h. */
  readonly schedule?: string;
  /** Probes in a row that a key has to fail before it is Invalid; absent means 2, the second a minute after the first. */
  readonly invalidAfterFailures?: number;
  readonly probe?: UserKeyPolicyProbe;
}

export interface UserKeyPolicyExpiry {
  /** Age at which a key expires, for example 30d; absent means 90d. */
  readonly maxAge?: string;
  /** How long before that the user is warned; absent means 14d, or half of maxAge where that is less. */
  readonly warnBefore?: string;
  /** Whether an expired key is still used (Warn); absent means Block. */
  readonly onExpired?: 'Block' | 'Warn';
}

export interface UserKeyPolicyRequest {
  readonly per: 'Second' | 'Minute' | 'Hour' | 'Day';
  readonly max: number;
  /** Most at once; absent means max. */
  readonly burst?: number;
}

export interface UserKeyPolicyLimitsTool {
  /** Tool name; * stands for any characters, for example create_*. */
  readonly match: string;
  readonly per: 'Second' | 'Minute' | 'Hour' | 'Day';
  readonly max: number;
  /** Most at once; absent means max. */
  readonly burst?: number;
}

export interface UserKeyPolicyLimits {
  /** When days begin, by the IANA time zone database, for example Europe/Berlin. Absent means UTC. */
  readonly timeZone?: string;
  readonly requests?: readonly UserKeyPolicyRequest[];
  readonly tools?: readonly UserKeyPolicyLimitsTool[];
  /** Whether requests pass while counts cannot be kept. */
  readonly onStoreFailure?: 'Open' | 'Closed';
}

export interface UserKeyPolicyTools {
  /** The only ones. Absent: all; empty: none. */
  readonly allow?: readonly string[];
  /** Wins over allow. */
  readonly deny?: readonly string[];
}

export interface UserKeyPolicyApprovers {
  /** An approver has to be in one of them, and to have the verb. Of several policies that name groups, in one of each. */
  readonly groups?: readonly string[];
}

export interface UserKeyPolicyApproval {
  /** No key is used unless an approver has granted it. */
  readonly required?: boolean;
  /** Absent means everybody who has the verb approve on the McpServer. */
  readonly approvers?: UserKeyPolicyApprovers;
  /** Longest that a grant lasts, for example 90d. Absent means as long as the approver says. */
  readonly validFor?: string;
}

export interface UserKeyPolicyAudit {
  readonly level?: 'None' | 'Metadata' | 'Arguments';
  readonly required?: boolean;
  readonly retention?: string;
}

export interface UserKeyPolicySpec {
  /** The McpServers of this namespace that the policy is for. */
  readonly servers: UserKeyPolicyServers;
  /** Whose keys it is about: those of users in one of the groups, and those that are named. Absent means everybody's. */
  readonly subjects?: UserKeyPolicySubjects;
  /** Overrides `required` of the headers that the McpServer declares. */
  readonly keys?: UserKeyPolicyKeys;
  /** How it is found out that a key works. */
  readonly validation?: UserKeyPolicyValidation;
  /** How old keys may get, counted from when their user last set one. Of several policies the least maxAge, the greatest warnBefore and Block hold. */
  readonly expiry?: UserKeyPolicyExpiry;
  /** How much a user may do at a server. Every limit of every policy holds. Second, Minute and Hour are token buckets: max new ones a period, burst at most at once. Day is a calendar day in timeZone. */
  readonly limits?: UserKeyPolicyLimits;
  /** Tools that users may call, by name; * stands for any characters, for example create_*, and case counts. Of several policies each has to allow a tool. Others are not listed, and calls of them are refused. */
  readonly tools?: UserKeyPolicyTools;
  /** Whether somebody has to let a user have a key, who that may be, and for how long. */
  readonly approval?: UserKeyPolicyApproval;
  readonly audit?: UserKeyPolicyAudit;
}

export interface UserKeyPolicyStatus {
  /** The generation of spec that the rest of the status is about. */
  readonly observedGeneration?: number;
  /** How many McpServers the policy is for. */
  readonly servers?: number;
  readonly conditions?: readonly Condition[];
}
