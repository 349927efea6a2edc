import { describe, expect, test } from 'vitest';

import { memoryLimitAnnotation, templateHashIn } from '#operator/admission/inject/annotations.ts';
import { decideInjection } from '#operator/admission/inject/decide.ts';
import { currentTemplateHash, targetOf } from '#operator/admission/inject/template.ts';

import { applyPatch, testNamespace, testServers, testSettings, testWorld, weatherPod } from '../pods.ts';

const target = targetOf({ namespace: testNamespace, name: 'weather' }, testServers['weather']!)!;

function injectedStatus(annotations: Record<string, string>): string {
  const pod = weatherPod();
  const metadata = { ...(pod['metadata'] as object), annotations };
  const injection = decideInjection({ ...pod, metadata }, testNamespace, testWorld());
  const injected = applyPatch({ ...pod, metadata }, injection.kind === 'patch' ? injection.operations : []);
  const { annotations: written } = injected['metadata'] as { annotations: Record<string, string> };
  return written['mcpkeyring.io/sidecar-status'] ?? '';
}

describe('currentTemplateHash', () => {
  test.each([{}, { [memoryLimitAnnotation]: '256Mi' }])(
    'is the hash that a pod with annotations %j is injected with',
    (annotations) => {
      const hash = currentTemplateHash(annotations, target, testSettings);
      expect(hash).toMatch(/^sha256:[0-9a-f]{64}$/);
      expect(templateHashIn(injectedStatus(annotations))).toBe(hash);
    },
  );

  test('changes with the image, the port, the path, the user and the tuning', () => {
    const hashes = [
      currentTemplateHash({}, target, testSettings),
      currentTemplateHash({}, target, { ...testSettings, sidecarImage: 'other' }),
      currentTemplateHash({}, target, { ...testSettings, runAsUser: undefined }),
      currentTemplateHash({}, { ...target, port: 8081 }, testSettings),
      currentTemplateHash({}, { ...target, path: '/' }, testSettings),
      currentTemplateHash({ [memoryLimitAnnotation]: '256Mi' }, target, testSettings),
    ];
    expect(new Set(hashes).size).toBe(hashes.length);
  });

  test('is none for a pod that would be refused', () => {
    expect(currentTemplateHash({ [memoryLimitAnnotation]: 'x' }, target, testSettings)).toBeUndefined();
  });
});

describe('targetOf', () => {
  test('is none for a server without a workload, or on a port of the sidecar', () => {
    const ref = { namespace: testNamespace, name: 'x' };
    expect(targetOf(ref, { spec: { upstream: {} } })).toBeUndefined();
    expect(targetOf(ref, { spec: { upstream: { workload: { port: 15_080 } } } })).toBeUndefined();
  });

  test('has the path /mcp when none is said', () => {
    expect(targetOf({ namespace: 'a', name: 'b' }, { spec: { upstream: { managed: { port: 1 } } } })).toEqual({
      namespace: 'a',
      name: 'b',
      port: 1,
      path: '/mcp',
    });
  });
});
