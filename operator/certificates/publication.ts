import type { ConfigMap, MutatingWebhookConfiguration } from '#operator/kube/resources.ts';

import { certificatesIn } from './certified-key.ts';

/** One place that clients take the bundle from, as read back from the API server. */
export interface PublishedBundle {
  readonly place: string;
  readonly bundle: string;
}

export const caBundleKey = 'ca.crt';

export function webhookBundles(configuration: MutatingWebhookConfiguration | undefined): readonly PublishedBundle[] {
  if (configuration === undefined) return [];
  return (configuration.webhooks ?? []).map((webhook) => ({
    place: `webhook ${webhook.name}`,
    bundle: Buffer.from(webhook.clientConfig.caBundle ?? '', 'base64').toString('utf8'),
  }));
}

export function configMapBundle(configMap: ConfigMap): PublishedBundle {
  return {
    place: `ConfigMap ${configMap.metadata.namespace ?? ''}/${configMap.metadata.name}`,
    bundle: configMap.data?.[caBundleKey] ?? '',
  };
}

/** Places where a client would not yet trust the CA. */
export function placesWithout(authorityPem: string, published: readonly PublishedBundle[]): readonly string[] {
  return published.filter(({ bundle }) => !certificatesIn(bundle).includes(authorityPem)).map(({ place }) => place);
}

/** Names of the webhooks whose bundle is not `bundle`. */
export function outdatedWebhooks(configuration: MutatingWebhookConfiguration, bundle: string): readonly string[] {
  const wanted = encodedBundle(bundle);
  return (configuration.webhooks ?? [])
    .filter(({ clientConfig }) => clientConfig.caBundle !== wanted)
    .map(({ name }) => name);
}

export function encodedBundle(bundle: string): string {
  return Buffer.from(bundle, 'utf8').toString('base64');
}
