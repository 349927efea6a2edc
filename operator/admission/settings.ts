import type { ConfigMap } from '#operator/kube/resources.ts';

import type { InjectionSettings } from './inject/sidecar-container.ts';

/** Made by the chart in the operator's namespace; the policy that guards the sidecar reads the same object. */
export const injectionConfigMapName = 'mcp-keyring-injection';

export type InjectionSettingsReading =
  | { readonly kind: 'settings'; readonly settings: InjectionSettings }
  /** `problem` is for the operator's log and condition. */
  | { readonly kind: 'unusable'; readonly problem: string };

/** `nonroot` of distroless images, which is what the sidecar's image is built on. */
const defaultRunAsUser = 65_532;
const userIdMax = 2 ** 31 - 1;
const imagePattern = /^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,511}$/;

/** Keys: `sidecarImage`, and `sidecarRunAsUser` whose empty value leaves the user to the cluster (OpenShift). */
export function readInjectionSettings(configMap: ConfigMap | undefined, brokerUrl: string): InjectionSettingsReading {
  if (configMap === undefined) return unusable(`ConfigMap ${injectionConfigMapName} does not exist`);
  const sidecarImage = configMap.data?.['sidecarImage'] ?? '';
  if (!imagePattern.test(sidecarImage))
    return unusable(`key sidecarImage of ConfigMap ${injectionConfigMapName} is not an image`);
  const runAsUser = readUser(configMap.data?.['sidecarRunAsUser']);
  if (runAsUser === 'invalid') {
    return unusable(`key sidecarRunAsUser of ConfigMap ${injectionConfigMapName} is not a user id above 0`);
  }
  return { kind: 'settings', settings: { sidecarImage, runAsUser, brokerUrl } };
}

function readUser(text: string | undefined): number | undefined | 'invalid' {
  if (text === undefined) return defaultRunAsUser;
  if (text === '') return undefined;
  const user = /^[1-9][0-9]{0,9}$/.test(text) ? Number(text) : Number.NaN;
  return user <= userIdMax ? user : 'invalid';
}

function unusable(problem: string): InjectionSettingsReading {
  return { kind: 'unusable', problem };
}
