import { labels, sidecarContainerName } from '#crds/v1alpha1/names.ts';

/** What was read from the cluster about one workload; `undefined` where there is none. */
export interface InjectionObserved {
  readonly target: string;
  readonly namespace: string;
  readonly podLabels: Readonly<Record<string, string>>;
  readonly server: { readonly name: string; readonly ready: boolean; readonly message: string } | undefined;
  readonly webhook: { readonly exists: boolean; readonly trusted: boolean } | 'forbidden';
  /** The API server's answer to a dry run of the pod. */
  readonly dryRun:
    | { readonly kind: 'admitted'; readonly injected: boolean }
    | { readonly kind: 'refused'; readonly message: string };
}

export interface Finding {
  readonly result: 'ok' | 'problem' | 'unknown';
  readonly message: string;
}

/** Pure: each check in the order in which it decides, the dry run last. */
export function explainInjection(observed: InjectionObserved): readonly Finding[] {
  const server = observed.podLabels[labels.server];
  if (server === undefined) return explainAgent(observed);
  return [
    { result: 'ok', message: `pod template has the label ${labels.server}=${server}` },
    serverFinding(observed, server),
    webhookFinding(observed),
    dryRunFinding(observed),
  ];
}

/** Which servers an agent calls, and whether it may, only the webhook can say: the dry run has its words. */
function explainAgent(observed: InjectionObserved): readonly Finding[] {
  const agent = observed.podLabels[labels.agent];
  if (agent === undefined) return [notLabelled(observed)];
  return [
    { result: 'ok', message: `pod template has the label ${labels.agent}=${agent}` },
    webhookFinding(observed),
    dryRunFinding(observed),
  ];
}

function notLabelled(observed: InjectionObserved): Finding {
  return {
    result: 'problem',
    message:
      `the pods of ${observed.target} have no label ${labels.server}, so they get no sidecar; ` +
      `add it to the pod template: ${labels.server}: <name of an McpServer in ${observed.namespace}>, ` +
      `or ${labels.agent}: "true" for pods that call servers`,
  };
}

function serverFinding(observed: InjectionObserved, name: string): Finding {
  if (observed.server === undefined) {
    return {
      result: 'problem',
      message: `there is no McpServer ${name} in namespace ${observed.namespace}; create it or correct the label`,
    };
  }
  if (!observed.server.ready)
    return { result: 'problem', message: `McpServer ${name} is not ready: ${observed.server.message}` };
  return { result: 'ok', message: `McpServer ${name} is ready` };
}

function webhookFinding(observed: InjectionObserved): Finding {
  if (observed.webhook === 'forbidden')
    return { result: 'unknown', message: 'your account may not read the webhook configuration' };
  if (!observed.webhook.exists)
    return {
      result: 'problem',
      message: 'the webhook configuration mcp-keyring-inject is missing: is the chart installed?',
    };
  if (!observed.webhook.trusted) {
    return {
      result: 'problem',
      message: 'the webhook has no CA bundle yet: the operator has not started; look at its pods',
    };
  }
  return { result: 'ok', message: 'the webhook is registered and has a CA bundle' };
}

function dryRunFinding(observed: InjectionObserved): Finding {
  if (observed.dryRun.kind === 'refused')
    return { result: 'problem', message: `the API server refuses the pod: ${observed.dryRun.message}` };
  if (!observed.dryRun.injected)
    return {
      result: 'problem',
      message: `the API server takes the pod, but without the container ${sidecarContainerName}`,
    };
  return { result: 'ok', message: `a new pod gets the sidecar (container ${sidecarContainerName}), by a dry run` };
}
