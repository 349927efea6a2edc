import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { sidecarVolumeNames } from '#crds/v1alpha1/names.ts';
import { decideInjection } from '#operator/admission/inject/decide.ts';
import { refusalReasons } from '#operator/admission/inject/reasons.ts';

import { applyPatch, testNamespace, testWorld } from '../pods.ts';
import type { Json } from '../pods.ts';

const runs = { numRuns: process.env['SLOW'] === undefined ? 500 : 20_000 };

/** Names that matter and names that do not. */
const name = fc.oneof(
  {
    arbitrary: fc.constantFrom('mcp-proxy', 'istio-init', 'istio-proxy', 'linkerd-proxy', ...sidecarVolumeNames),
    weight: 1,
  },
  { arbitrary: fc.stringMatching(/^[a-z][a-z0-9]{0,8}$/), weight: 4 },
);

function optional<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null | undefined> {
  return fc.option(fc.option(arbitrary, { nil: undefined }), { nil: null });
}

const container = fc.record(
  {
    name,
    image: fc.string(),
    volumeMounts: optional(fc.array(fc.record({ name, mountPath: fc.string() }), { maxLength: 2 })),
    ports: optional(fc.array(fc.record({ containerPort: fc.integer({ min: 15_078, max: 15_084 }) }), { maxLength: 2 })),
    restartPolicy: fc.constantFrom('Always', undefined),
  },
  { requiredKeys: ['name'] },
);

const volume = fc.record({
  name,
  projected: optional(
    fc.record({
      sources: fc.array(
        fc.record({
          serviceAccountToken: optional(fc.record({ audience: fc.constantFrom('vault', 'mcp-keyring-broker') })),
        }),
        { maxLength: 2 },
      ),
    }),
  ),
});

const labelValue = fc.oneof(
  { arbitrary: fc.constantFrom('weather', 'managed'), weight: 6 },
  { arbitrary: fc.string(), weight: 1 },
);
const annotationKey = fc.oneof(
  fc.constantFrom(
    'mcpkeyring.io/sidecar-status',
    'mcpkeyring.io/sidecar-memory-limit',
    'kubectl.kubernetes.io/default-container',
    'a/b~c',
    '__proto__',
    'constructor',
  ),
  fc.string(),
);

const pod = fc.record({
  apiVersion: fc.constant('v1'),
  kind: fc.constant('Pod'),
  metadata: fc.record(
    {
      labels: fc.record({
        'mcpkeyring.io/server': labelValue,
        'mcpkeyring.io/injected': fc.constantFrom(undefined, 'true', 'x'),
      }),
      annotations: optional(fc.dictionary(annotationKey, fc.string(), { maxKeys: 3 })),
    },
    { requiredKeys: ['labels'] },
  ),
  spec: fc.record({
    containers: fc.array(container, { minLength: 1, maxLength: 3 }),
    initContainers: optional(fc.array(container, { maxLength: 3 })),
    volumes: optional(fc.array(volume, { maxLength: 3 })),
    hostNetwork: fc.constantFrom(undefined, undefined, undefined, true),
  }),
});

/** As it arrives over the wire. */
const wirePod = pod.map((object) => JSON.parse(JSON.stringify(object)) as Json);

function injectOnce(object: Json): Json | undefined {
  const injection = decideInjection(object, testNamespace, testWorld());
  return injection.kind === 'patch' ? applyPatch(object, injection.operations) : undefined;
}

describe('for every pod', () => {
  test('injecting twice is injecting once', () => {
    fc.assert(
      fc.property(wirePod, (object) => {
        const injected = injectOnce(object);
        if (injected === undefined) return;
        const second = decideInjection(injected, testNamespace, testWorld());
        expect(second).toEqual({ kind: 'skip', reason: 'alreadyInjected' });
      }),
      runs,
    );
  });

  test('the patch only adds: what the author wrote is still there, in its order', () => {
    fc.assert(
      fc.property(wirePod, (object) => {
        const injected = injectOnce(object);
        expect(injected === undefined || isContained(object, injected)).toBe(true);
      }),
      runs,
    );
  });

  test('no other container mounts a volume of the sidecar, and only one volume holds a token for the broker', () => {
    fc.assert(
      fc.property(wirePod, (object) => {
        const injected = injectOnce(object);
        if (injected === undefined) return;
        const spec = injected['spec'] as { containers: Json[]; initContainers: Json[]; volumes: Json[] };
        const others = [...spec.containers, ...spec.initContainers].filter((item) => item['name'] !== 'mcp-proxy');
        const mounted = others.flatMap((item) =>
          ((item['volumeMounts'] ?? []) as Json[]).map((mount) => mount['name']),
        );
        expect(mounted.filter((volumeName) => (sidecarVolumeNames as readonly unknown[]).includes(volumeName))).toEqual(
          [],
        );
        const forBroker = spec.volumes.filter((item) =>
          JSON.stringify(item).includes('"audience":"mcp-keyring-broker"'),
        );
        expect(forBroker.map((item) => item['name'])).toEqual(['mcp-keyring-identity']);
        const sidecars = [...spec.containers, ...spec.initContainers].filter((item) => item['name'] === 'mcp-proxy');
        expect(sidecars).toHaveLength(1);
      }),
      runs,
    );
  });

  test('that is nothing like a pod, there is an answer of the closed set', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const object = { metadata: { labels: { 'mcpkeyring.io/server': 'weather' } }, spec: value };
        for (const candidate of [value, object]) {
          const injection = decideInjection(candidate, testNamespace, testWorld());
          const reason = injection.kind === 'refuse' ? injection.reason : 'none';
          expect(['none', ...Object.keys(refusalReasons)]).toContain(reason);
        }
      }),
      runs,
    );
  });
});

/** Every field and every list item of `part` is in `whole`; lists keep their order. */
function isContained(part: unknown, whole: unknown): boolean {
  if (part === null || part === undefined) return true;
  if (Array.isArray(part)) {
    if (!Array.isArray(whole)) return false;
    let from = 0;
    return part.every((item) => {
      const index = whole.findIndex(
        (candidate, at) => at >= from && JSON.stringify(candidate) === JSON.stringify(item),
      );
      from = index + 1;
      return index !== -1;
    });
  }
  if (typeof part !== 'object') return part === whole;
  if (typeof whole !== 'object' || whole === null) return false;
  return Object.entries(part).every(
    ([key, value]) => Object.hasOwn(whole, key) && isContained(value, (whole as Json)[key]),
  );
}
