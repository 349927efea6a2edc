import { group, labels, sealedSecretType } from '#crds/v1alpha1/names.ts';
import type { ServerRef } from '#contract/lease.ts';
import { parseHeader, type Envelope, type EnvelopeHeader } from '#operator/envelope/format.ts';
import type { NewObject } from '#operator/kube/client.ts';
import type { Secret } from '#operator/kube/resources.ts';

import type { KeyAddress } from './key-store.ts';
import { sealedSecretName, subjectKeyChars, userKeyName } from './names.ts';

/** Selects the sealed keys in the key namespace. */
export const sealedSecretSelector = `${labels.managed}=true`;

export const canaryLabelValue = 'canary';

/** What the cache of sealed keys watches: them, and the one Secret that shows that the watch lives (`fresh-view.ts`). */
export const watchedSecretSelector: string = labels.managed;

const annotations = { namespace: `${group}/namespace`, userKey: `${group}/user-key` } as const;

export interface SealedSecretPlace {
  readonly keyNamespace: string;
  readonly address: Pick<KeyAddress, 'server'>;
  readonly subjectKey: string;
}

export function sealedSecretRef({ keyNamespace, address, subjectKey }: SealedSecretPlace): {
  readonly namespace: string;
  readonly name: string;
} {
  const { server } = address;
  return { namespace: keyNamespace, name: sealedSecretName(server.namespace, userKeyName(server, subjectKey)) };
}

/** The Secret for `envelope`. Labels and annotations are for people and for invalidation; what counts is in the envelope. */
export function sealedSecret(place: SealedSecretPlace, envelope: Envelope): NewObject<Secret> {
  const { server } = place.address;
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      ...sealedSecretRef(place),
      labels: { [labels.managed]: 'true', [labels.user]: place.subjectKey, [labels.server]: server.name },
      annotations: {
        [annotations.namespace]: server.namespace,
        [annotations.userKey]: userKeyName(server, place.subjectKey),
      },
    },
    type: sealedSecretType,
    immutable: false,
    data: { header: envelope.header.toString('base64'), ciphertext: envelope.ciphertext.toString('base64') },
  };
}

/** `undefined` when the Secret is not one of ours. */
export function envelopeIn(secret: Secret): Envelope | undefined {
  const { header, ciphertext } = secret.data ?? {};
  if (secret.type !== sealedSecretType || header === undefined || ciphertext === undefined) return undefined;
  return { header: Buffer.from(header, 'base64'), ciphertext: Buffer.from(ciphertext, 'base64') };
}

/** `undefined` when there is no header that this release can read. */
export function headerIn(secret: Secret): EnvelopeHeader | undefined {
  const envelope = envelopeIn(secret);
  try {
    return envelope === undefined ? undefined : parseHeader(envelope.header);
  } catch {
    return undefined;
  }
}

/** Whether a Secret is there to show that the watch lives, and holds nothing. */
export function isCanary({ metadata }: Secret): boolean {
  return metadata.labels?.[labels.managed] === canaryLabelValue;
}

/** Whose key a Secret claims to be. */
export function ownerOf(secret: Secret): { readonly server: ServerRef; readonly subjectKey: string } | undefined {
  const namespace = secret.metadata.annotations?.[annotations.namespace];
  const userKey = secret.metadata.annotations?.[annotations.userKey];
  if (namespace === undefined || userKey === undefined || userKey.length <= subjectKeyChars + 1) return undefined;
  const server = { namespace, name: userKey.slice(0, -(subjectKeyChars + 1)) };
  return { server, subjectKey: userKey.slice(-subjectKeyChars) };
}
