/** Why the injector left a pod as it is; also values of the metric label `reason`. */
export const skipReasons = {
  unsupportedResource: 'the object is not a pod',
  unsupportedOperation: 'the pod is not being created',
  notLabelled: 'the pod carries neither the server label nor the agent label',
  mirrorPod: 'the pod mirrors a static pod of a kubelet, which takes no changes',
  alreadyInjected: 'the pod carries the sidecar as this injector writes it',
} as const;

/** Why a pod is refused; also values of the metric label `reason`. The message names the field and what to do. */
export const refusalReasons = {
  notReady: 'the injector has not read the cluster yet, or does not know the sidecar image',
  podMalformed: 'the pod is not of the shape that the API server sends',
  agentAndServer: 'the pod is labelled as a server and as an agent',
  agentLabelInvalid: 'the agent label has another value than true',
  agentServersInvalid: 'the annotation with the servers of the agent cannot be used',
  agentServersMissing: 'there is no server that the agent could call',
  agentServerNotFound: 'a server of the agent does not exist in its organization',
  environmentTaken: 'a container sets a variable of the injector to something else',
  serverLabelInvalid: 'the server label is not the name of an McpServer',
  serverNotFound: 'the namespace has no McpServer of that name',
  serverNotInjectable: 'the McpServer has no workload that could carry a sidecar',
  hostNetwork: 'the pod shares the network of its node',
  hostPID: 'the pod shares the processes of its node',
  hostIPC: 'the pod shares the memory of its node',
  shareProcessNamespace: 'the containers of the pod share their processes',
  privileged: 'another container is privileged',
  capabilities: 'another container adds capabilities that could reach the sidecar or its traffic',
  procMount: 'another container sees parts of /proc that are hidden from containers',
  hostPath: 'a volume of the pod is a path of its node',
  windows: 'the pod is for Windows nodes',
  containerNameTaken: 'the pod declares a container of the sidecar’s name',
  volumeNameTaken: 'the pod declares a volume of the sidecar',
  volumeMountForeign: 'another container mounts a volume of the sidecar',
  audienceForeign: 'another volume asks for a token for the broker',
  portTaken: 'another container uses a port of the sidecar',
  sidecarNotFirst: 'an init container that is not of a service mesh starts before the sidecar',
  annotationInvalid: 'a tuning annotation has a value that cannot be used',
  injectedLabelInvalid: 'the label that the injector sets has a value already',
  statusForged: 'the annotation that the injector sets is there, the sidecar is not',
  sidecarChanged: 'the sidecar was changed after it was injected',
} as const;

export type SkipReason = keyof typeof skipReasons;
export type RefusalReason = keyof typeof refusalReasons;

/** A pod that may not run; `message` is for the person who created it and holds nothing secret. */
export interface Refusal {
  readonly kind: 'refuse';
  readonly reason: RefusalReason;
  readonly message: string;
}

export function refuse(reason: RefusalReason, message: string): Refusal {
  return { kind: 'refuse', reason, message };
}

const quotedCharsMax = 64;

/** Text of the pod's author inside a message: one line, bounded. */
export function quote(text: string): string {
  const bounded = text.length > quotedCharsMax ? `${text.slice(0, quotedCharsMax)}…` : text;
  return JSON.stringify(bounded);
}
