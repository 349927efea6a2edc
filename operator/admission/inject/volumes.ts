import { brokerAudience, caConfigMapName, sidecarVolumeNames } from '#crds/v1alpha1/names.ts';

import type { Fields } from '../fields.ts';

const [identity, certificateAuthority, noApiToken] = sidecarVolumeNames;

const identityDirectory = '/var/run/mcp-keyring/identity';
const authorityDirectory = '/var/run/mcp-keyring/ca';

export const identityTokenPath = `${identityDirectory}/token`;
export const caBundlePath = `${authorityDirectory}/ca.crt`;

/**
 * Readable by everybody, because the kubelet gives the file to the sidecar's user only where all containers of the pod run as the
 * same one. What protects the token is that no other container may mount the volume.
 */
const fileModeOctal444 = 0o444;

/** Kubelets refresh the token at 80 % of this. */
const tokenLifeSeconds = 3_600;

/** As the API server stores them, defaults written out, so that a later look compares equal. */
export function sidecarVolumes(): readonly Fields[] {
  const token = { audience: brokerAudience, expirationSeconds: tokenLifeSeconds, path: 'token' };
  const items = [{ key: 'ca.crt', path: 'ca.crt' }];
  return [
    { name: identity, projected: { sources: [{ serviceAccountToken: token }], defaultMode: fileModeOctal444 } },
    { name: certificateAuthority, configMap: { name: caConfigMapName, items, defaultMode: fileModeOctal444 } },
    // The directory itself takes a block of the disk, so a smaller limit has the kubelet evict the pod within a minute.
    { name: noApiToken, emptyDir: { sizeLimit: '64Ki' } },
  ];
}

/**
 * The last mount keeps the API server's token out of the sidecar: the ServiceAccount admission plugin mounts it into every container
 * that has nothing at this path.
 */
export function sidecarVolumeMounts(): readonly Fields[] {
  return [
    { name: identity, readOnly: true, mountPath: identityDirectory },
    { name: certificateAuthority, readOnly: true, mountPath: authorityDirectory },
    { name: noApiToken, readOnly: true, mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' },
  ];
}

export function isSidecarVolume(name: string): boolean {
  return (sidecarVolumeNames as readonly string[]).includes(name);
}
