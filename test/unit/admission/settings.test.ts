import { describe, expect, test } from 'vitest';

import { readInjectionSettings } from '#operator/admission/settings.ts';
import type { InjectionSettingsReading } from '#operator/admission/settings.ts';

function read(data: Record<string, string>): InjectionSettingsReading {
  const configMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'mcp-keyring-injection' }, data };
  return readInjectionSettings(configMap, 'https://broker');
}

describe('readInjectionSettings', () => {
  test('runs the sidecar as nonroot when nothing is said', () => {
    expect(read({ sidecarImage: 'localhost/mcp-proxy:dev' })).toEqual({
      kind: 'settings',
      settings: { sidecarImage: 'localhost/mcp-proxy:dev', runAsUser: 65_532, brokerUrl: 'https://broker' },
    });
  });

  test('leaves the user to the cluster when it is empty', () => {
    expect(read({ sidecarImage: 'a', sidecarRunAsUser: '' })).toMatchObject({ settings: { runAsUser: undefined } });
  });

  test.each(['0', '-1', 'root', '4294967296', '1.5', ' 1'])('does not take user %j', (sidecarRunAsUser) => {
    expect(read({ sidecarImage: 'a', sidecarRunAsUser })).toMatchObject({ kind: 'unusable' });
  });

  test.each(['', ' ', 'a b', '-x', 'a\nb', 'a'.repeat(513)])('does not take image %j', (sidecarImage) => {
    expect(read({ sidecarImage })).toMatchObject({ kind: 'unusable' });
  });

  test('names the ConfigMap that is missing', () => {
    const reading = readInjectionSettings(undefined, 'https://broker');
    expect(reading).toEqual({ kind: 'unusable', problem: 'ConfigMap mcp-keyring-injection does not exist' });
  });
});
