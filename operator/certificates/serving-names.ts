/** Services that share the operator's serving certificate. */
export const brokerServiceName = 'mcp-keyring-broker';
export const webhookServiceName = 'mcp-keyring-webhook';

/** Every name that a client in the cluster may call the two Services by. */
export function servingDnsNames(namespace: string, clusterDomain = 'cluster.local'): readonly string[] {
  return [brokerServiceName, webhookServiceName].flatMap((service) => [
    service,
    `${service}.${namespace}`,
    `${service}.${namespace}.svc`,
    `${service}.${namespace}.svc.${clusterDomain}`,
  ]);
}
