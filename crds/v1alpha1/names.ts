/** Names that users, the API server and our own components agree on. Changing one is an API change. */

export const group = 'mcpkeyring.io';
export const version = 'v1alpha1';
export const apiVersion = `${group}/${version}`;

export const labels = {
  /** On a pod: the McpServer (same namespace) whose sidecar it gets. On objects we own: the server they belong to. */
  server: `${group}/server`,
  /** On a pod, `true`: it gets the sidecar on its loopback, for the servers that it calls. */
  agent: `${group}/agent`,
  /** Set by the injector on a pod that carries the sidecar. */
  injected: `${group}/injected`,
  /** On every object that the operator writes; also the cache selector in the key namespace. */
  managed: `${group}/managed`,
  /** On a namespace, `true`: its pods may scrape the metrics of sidecars. */
  scrape: `${group}/scrape`,
  /** On a pod of the operator's namespace, `true`: it is a gateway. */
  gateway: `${group}/gateway`,
  /** On a ConfigMap, `true`: certificates of a remote server, which the operator may read. */
  caBundle: `${group}/ca-bundle`,
  /** On a UserKey and its Secret: the keyed hash of the subject, never an e-mail address. */
  user: `${group}/user`,
} as const;

export const annotations = {
  /** JSON that the injector writes on a pod: template hash, image, containers, volumes. */
  sidecarStatus: `${group}/sidecar-status`,
  /** On an agent pod, by its author: the servers it calls, `<namespace>/<name>` separated by commas; absent: the remote ones beside it. */
  agentServers: `${group}/agent-servers`,
  /** On an agent pod, by the injector: the servers that its sidecar may ask leases for, in the same form. */
  injectedServers: `${group}/injected-servers`,
  /** On a Secret with a key of an organization, by its author: the servers, of its namespace, that the key is for, separated by commas. */
  forServer: `${group}/for-server`,
  /** On a sealed Secret, for people: the namespace of the server it is for. */
  namespace: `${group}/namespace`,
  /** On a sealed Secret, for people: the name of its UserKey in that namespace. */
  userKey: `${group}/user-key`,
} as const;

/** Finalizer on a UserKey: the sealed Secret is destroyed before the UserKey goes. */
export const userKeyFinalizer = `${group}/destroy-sealed-key`;

/** Type of the Secret that holds one sealed envelope ("UKE v1"). */
export const sealedSecretType = `${group}/user-key.v1`;

/** Audience of the projected pod token that a sidecar shows the broker. */
export const brokerAudience = 'mcp-keyring-broker';

/** Name of the injected native sidecar container. */
export const sidecarContainerName = 'mcp-proxy';

/** Volumes of an injected pod that no other container may mount. */
export const sidecarVolumeNames = ['mcp-keyring-identity', 'mcp-keyring-ca', 'mcp-keyring-no-api-token'] as const;

/** ConfigMap in each organization namespace with the CA bundle of broker and webhook (key `ca.crt`). */
export const caConfigMapName = 'mcp-keyring-ca';

/** RoleBinding in each organization namespace, by which the organization's admins have the ClusterRole below there. */
export const adminsBindingName = 'mcp-keyring-organization-admins';

/** ClusterRole of who administers a namespace. */
export const adminsClusterRoleName = 'mcp-keyring-admin';

/** ConfigMap in the operator namespace, readable by every authenticated user: the public key that CLI requests are sealed to. */
export const intakeConfigMapName = 'mcp-keyring-intake';

/** Ports of the sidecar. */
export const sidecarPorts = { ingress: 15080, health: 15081, metrics: 15082 } as const;

/** Name of the Service that the operator makes for McpServer `name`. */
export function serviceName(name: string): string {
  return `${name}-mcp`;
}

/** The Service of the gateway, in the operator's namespace, and the account that its pods run as. */
export const gatewayName = 'mcp-keyring-gateway';

/** Where an McpServer is at the gateway. */
export function gatewayPath(server: { readonly namespace: string; readonly name: string }): string {
  return `/${server.namespace}/${server.name}/mcp`;
}
