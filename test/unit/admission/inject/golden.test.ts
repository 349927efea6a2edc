import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';

import { admitPod } from '#operator/admission/admit.ts';
import type { Admission } from '#operator/admission/admit.ts';
import { readInjectionSettings } from '#operator/admission/settings.ts';

import { podOf } from '../golden.ts';
import type { Json } from '../pods.ts';
import { applyPatch, testNamespace, testSettings, testWorld } from '../pods.ts';

/**
 * Pairs `<case>.in.yaml` -> `<case>.out.yaml`: what the author writes, and what becomes of the pod. `UPDATE_GOLDEN=1` writes the
 * second; read the diff.
 */
const directory = join(import.meta.dirname, '../../../golden/inject');
const isUpdate = process.env['UPDATE_GOLDEN'] === '1';
const files = readdirSync(directory);
const cases = files.filter((file) => file.endsWith('.in.yaml')).map((file) => file.slice(0, -'.in.yaml'.length));

describe('golden corpus of the injector', () => {
  test('has at least 60 pods', () => {
    expect(cases.length).toBeGreaterThanOrEqual(60);
  });

  test('has no output without an input', () => {
    const stale = files.filter(
      (file) => file.endsWith('.out.yaml') && !cases.includes(file.slice(0, -'.out.yaml'.length)),
    );
    if (isUpdate) for (const file of stale) rmSync(join(directory, file));
    expect(isUpdate ? [] : stale).toEqual([]);
  });

  describe.each(cases)('%s', (name) => {
    const { pod, admit } = readCase(name);
    const outputFile = join(directory, `${name}.out.yaml`);

    test('becomes what the golden file says', () => {
      const output = stringify(outcomeOf(pod, admit(pod)), { lineWidth: 0, aliasDuplicateObjects: false });
      if (isUpdate) writeFileSync(outputFile, output);
      expect(output).toBe(readFileSync(outputFile, 'utf8'));
    });

    test('is left alone the second time', () => {
      const first = admit(pod);
      if (first.outcome.result !== 'injected') return expect(admit(pod)).toEqual(first);
      const second = admit(injectedPod(pod, first));
      expect(second.outcome).toEqual({ result: 'skipped', reason: 'alreadyInjected' });
      return expect(second.answer).toEqual({ allowed: true, operations: [], warnings: [] });
    });

    test('keeps everything that its author wrote', () => {
      const first = admit(pod);
      expect(withoutOurs(injectedPod(pod, first))).toEqual(withoutOurs(pod));
    });
  });
});

function readCase(name: string): { readonly pod: Json; readonly admit: (object: Json) => Admission } {
  const [pod, settings] = podOf(readFileSync(join(directory, `${name}.in.yaml`), 'utf8'));
  const world = settings === undefined ? testWorld() : testWorld({ settings: settingsOf(settings) });
  return {
    pod,
    admit: (object) =>
      admitPod({ uid: '1', resource: '/pods', operation: 'CREATE', namespace: testNamespace, object }, world),
  };
}

function settingsOf({ sidecarRunAsUser }: Json): typeof testSettings {
  const data = { sidecarImage: testSettings.sidecarImage, sidecarRunAsUser: String(sidecarRunAsUser) };
  const configMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'mcp-keyring-injection' }, data };
  const reading = readInjectionSettings(configMap, testSettings.brokerUrl);
  if (reading.kind !== 'settings') throw new Error(reading.problem);
  return reading.settings;
}

function outcomeOf(pod: Json, admission: Admission): Json {
  const { answer, outcome } = admission;
  if (!answer.allowed) return { ...outcome, code: answer.httpCode, message: answer.message };
  if (answer.operations.length === 0) return { ...outcome };
  return {
    ...outcome,
    ...(answer.warnings.length === 0 ? {} : { warnings: answer.warnings }),
    pod: injectedPod(pod, admission),
  };
}

function injectedPod(pod: Json, { answer }: Admission): Json {
  return answer.allowed ? applyPatch(pod, answer.operations) : pod;
}

/** The pod without what the injector may add, empty lists and maps left out. */
function withoutOurs(pod: Json): Json {
  const metadata = pod['metadata'] as Json;
  const spec = pod['spec'] as Json;
  const isOurs = (item: unknown): boolean => /^mcp-proxy$|^mcp-keyring-/.test(String((item as Json)['name']));
  return {
    ...pod,
    metadata: {
      ...metadata,
      labels: entriesWithout(metadata['labels'], 'mcpkeyring.io/injected'),
      annotations: entriesWithout(
        metadata['annotations'],
        'mcpkeyring.io/sidecar-status',
        'mcpkeyring.io/injected-servers',
        'kubectl.kubernetes.io/default-container',
      ),
    },
    spec: {
      ...spec,
      containers: listOf(spec['containers']).map(withoutVariables),
      initContainers: listOf(spec['initContainers'])
        .filter((item) => !isOurs(item))
        .map(withoutVariables),
      volumes: ((spec['volumes'] ?? []) as unknown[]).filter((item) => !isOurs(item)),
    },
  };
}

/** One of the pods has something else in the place of a list. */
function listOf(value: unknown): readonly Json[] {
  return Array.isArray(value) ? value : [];
}

function withoutVariables(container: Json): Json {
  const variables = (container['env'] ?? []) as Json[];
  return { ...container, env: variables.filter(({ name }) => !/^MCP_SERVER_\w+_URL$/.test(String(name))) };
}

function entriesWithout(map: unknown, ...keys: readonly string[]): Json {
  return Object.fromEntries(Object.entries(map ?? {}).filter(([key]) => !keys.includes(key)));
}
