// Generated from crds/mcpservers.yaml by crds/generate.ts; edit that file.
import type { Condition, ObjectMeta } from '../object.ts';

/** An MCP server that users call with their own upstream keys, and the headers those keys go into. */
export interface McpServer {
  readonly apiVersion: 'mcpkeyring.io/v1alpha1';
  readonly kind: 'McpServer';
  readonly metadata: ObjectMeta;
  readonly spec: McpServerSpec;
  readonly status?: McpServerStatus;
}

export interface McpServerWorkload {
  /** Port that the server's container listens on (loopback is enough). */
  readonly port: number;
  /** Path of the MCP endpoint. */
  readonly path: string;
}

export interface McpServerEnv {
  readonly name: string;
  readonly value: string;
}

export interface McpServerManaged {
  /** Image of the server, best by digest. */
  readonly image: string;
  readonly args?: readonly string[];
  /** Plain settings. User keys never go here; declare them in authentication.headers. */
  readonly env?: readonly McpServerEnv[];
  /** Port that the server's container listens on. */
  readonly port: number;
  /** Path of the MCP endpoint. */
  readonly path: string;
  readonly replicas: number;
}

export interface McpServerCaBundleRef {
  readonly name: string;
  readonly key: string;
}

export interface McpServerRemote {
  readonly url: string;
  /** ConfigMap in the same namespace, labelled mcpkeyring.io/ca-bundle=true, with the PEM certificates to trust; absent means the public roots. */
  readonly caBundleRef?: McpServerCaBundleRef;
  /** Let the host name lead to private, loopback and link-local addresses. Otherwise no key is sent there, so that a name cannot lead the gateway into the cluster. */
  readonly allowPrivateAddresses: boolean;
}

export interface McpServerUpstream {
  /** Pods that you run; those labelled mcpkeyring.io/server=<name> get the sidecar. */
  readonly workload?: McpServerWorkload;
  /** A Deployment that the operator runs. */
  readonly managed?: McpServerManaged;
  /** A server outside the cluster, called through the gateway. */
  readonly remote?: McpServerRemote;
}

export interface McpServerLimits {
  /** Longest wait for a connection to the server, for example 2s; absent means 10s. */
  readonly connectTimeout?: string;
  /** Longest wait until the server begins to answer, for example 60s; streams last as long as they do. Absent means that a tool takes as long as it takes. */
  readonly answerTimeout?: string;
  /** Largest request body; absent means 4194304, which is 4 MiB. */
  readonly maxBodyBytes?: number;
}

export interface McpServerAllow {
  /** Host names that clients may use, without port. Those of the server's own Service and that of the gateway's external URL are always allowed; absent means any. */
  readonly hosts?: readonly string[];
  /** Origins of web pages that may call the server, besides those that the gateway allows for all. Programs send none. */
  readonly origins?: readonly string[];
}

export interface McpServerFormat {
  /** RE2 expression for the whole value, for example ghp_[A-Za-z0-9]{36}. */
  readonly pattern?: string;
  /** The value begins with one of these, for example ghp_. */
  readonly prefixes?: readonly string[];
  /** Fewest characters of a value. */
  readonly minLength?: number;
  /** Most characters of a value. */
  readonly maxLength?: number;
  /** A made-up value that keeps these rules. Users see it, so never a real key. */
  readonly example?: string;
  /** Said to the user when the value does not fit. */
  readonly message?: string;
}

export interface McpServerHeader {
  /** Field name as the server documents it, for example Authorization or X-API-Key. */
  readonly name: string;
  /** The field value; {value} is what the user typed. */
  readonly template: string;
  /** What the form calls it, for example "GitHub token". */
  readonly title?: string;
  /** One or two sentences on what key to make and with what rights. */
  readonly help?: string;
  /** Page where the user gets the key. */
  readonly helpURL?: string;
  /** Whether the server is of no use without it. */
  readonly required: boolean;
  /** What a well-formed value looks like, to catch mistakes before they are stored. */
  readonly format?: McpServerFormat;
  /** What may be shown of a stored value. */
  readonly reveal: 'None' | 'Last4';
}

export interface McpServerProbeOrigin {
  readonly origin: string;
  /** ConfigMap as in upstream.remote.caBundleRef; absent means the public roots. */
  readonly caBundleRef?: McpServerCaBundleRef;
  /** Let the host name lead to private, loopback and link-local addresses. */
  readonly allowPrivateAddresses: boolean;
}

export interface McpServerSharedKeySecretRef {
  readonly name: string;
}

export interface McpServerDiscoveryKeySecretRef {
  readonly name: string;
}

export interface McpServerAuthentication {
  /** Whose key a request carries. PerUser: each user's own. Shared: the organization's, from sharedKeySecretRef. PerUserOrShared: a user's own where they have set one, otherwise the organization's; one that is set and of no use is never replaced by it. */
  readonly mode: 'PerUser' | 'Shared' | 'PerUserOrShared';
  /** Headers that the server reads keys from. The names are the administrator's, the values each user's. Empty means that the server needs no key. */
  readonly headers: readonly McpServerHeader[];
  /** Where the operator may send a user's key to find out whether it works, besides the server itself. A UserKeyPolicy names the URL, and it can name none of another origin. */
  readonly probeOrigins?: readonly McpServerProbeOrigin[];
  /** Secret in the same namespace with the key of the organization, one entry a header, by its name. It has to carry the annotation mcpkeyring.io/for-server with the name of this server, and its author gives the operator the right to read it; the condition SharedKeyUsable says how. */
  readonly sharedKeySecretRef?: McpServerSharedKeySecretRef;
  /** Secret as in sharedKeySecretRef, with a key that lets users who have none yet learn what the server offers: it goes into the handshake and into lists, never into a call. Best one with no other rights. */
  readonly discoveryKeySecretRef?: McpServerDiscoveryKeySecretRef;
}

export interface McpServerSpec {
  /** Name that users see; absent means metadata.name. */
  readonly title?: string;
  /** What the server is for. */
  readonly description?: string;
  /** Where the server itself runs. */
  readonly upstream: McpServerUpstream;
  /** StreamableHTTP serves every revision of it on one port; SSE is the transport of 2024-11-05. */
  readonly transport: 'StreamableHTTP' | 'SSE';
  /** Bounds of each request. They count from the moment that they are written; what a proxy was started with is never exceeded. */
  readonly limits?: McpServerLimits;
  /** Where requests may come from, so that no web page reaches the server under a name of its own (DNS rebinding). */
  readonly allow?: McpServerAllow;
  /** How the server wants to be authenticated to, on behalf of each user. */
  readonly authentication: McpServerAuthentication;
}

export interface McpServerKeys {
  readonly users?: number;
  readonly configured?: number;
  readonly missing?: number;
  readonly invalid?: number;
  readonly expired?: number;
  readonly expiring?: number;
  readonly needsUpdate?: number;
  readonly pendingApproval?: number;
  readonly revoked?: number;
  readonly unverified?: number;
}

export interface McpServerRejected {
  readonly version: number;
  readonly at: string;
}

export interface McpServerSharedKey {
  /** The version that the upstream has refused last. A changed Secret is another version. */
  readonly rejected?: McpServerRejected;
}

export interface McpServerSidecars {
  readonly current?: number;
  readonly outdated?: number;
}

export interface McpServerStatus {
  /** The generation of spec that the rest of the status is about. */
  readonly observedGeneration?: number;
  /** What MCP clients connect to. */
  readonly url?: string;
  /** How many users are in which state, each in one. A user who has set nothing, and asked for nothing, is not counted. */
  readonly keys?: McpServerKeys;
  /** What is known of the key in sharedKeySecretRef. Nothing of a value. */
  readonly sharedKey?: McpServerSharedKey;
  /** Pods that carry the sidecar, by whether it is the one that would be injected now. */
  readonly sidecars?: McpServerSidecars;
  readonly conditions?: readonly Condition[];
}
