import fc from 'fast-check';
import { expect, test } from 'vitest';

import { createInformer } from '#operator/kube/create-informer.ts';
import type { Change } from '#operator/kube/informer.ts';
import { type ConfigMap, configMaps } from '#operator/kube/resources.ts';
import { createTransport } from '#operator/kube/transport.ts';
import { type Effect, FaultApiServer } from '#test/support/fault-api-server.ts';

import { eventually, fastTiming } from './informer-fixture.ts';

type Step =
  | { readonly kind: 'put'; readonly name: string; readonly value: number }
  | { readonly kind: 'remove'; readonly name: string }
  | { readonly kind: 'recreate'; readonly name: string }
  | { readonly kind: 'relabel'; readonly name: string; readonly chosen: boolean }
  | { readonly kind: 'compact' }
  | { readonly kind: 'bookmark' }
  | { readonly kind: 'end'; readonly how: 'clean' | 'midLine' | 'reset' }
  | { readonly kind: 'fault'; readonly verb: 'list' | 'watch'; readonly times: number; readonly effect: Effect }
  | { readonly kind: 'pause'; readonly ms: number };

const name = fc.constantFrom('a', 'b', 'c', 'd');
const callFault = fc.constantFrom<Effect>(
  { kind: 'status', status: 500 },
  { kind: 'status', status: 403 },
  { kind: 'status', status: 410, reason: 'Expired' },
  { kind: 'status', status: 429, retryAfterSeconds: 0 },
  { kind: 'reset' },
  { kind: 'hang' },
  { kind: 'delay', ms: 15 },
  { kind: 'garbage', text: '{' },
);
const watchFault = fc.oneof(
  callFault,
  fc.constantFrom<Effect>({ kind: 'silent' }, { kind: 'expired' }, { kind: 'duplicate' }, { kind: 'stale' }),
  fc.record({ kind: fc.constant('cut' as const), afterEvents: fc.nat(3), midLine: fc.boolean() }),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('put' as const), name, value: fc.nat(9) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('remove' as const), name }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('recreate' as const), name }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('relabel' as const), name, chosen: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'compact' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'bookmark' as const }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('end' as const), how: fc.constantFrom('clean', 'midLine', 'reset') }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('fault' as const),
      verb: fc.constant('list' as const),
      times: fc.integer({ min: 1, max: 2 }),
      effect: callFault,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('fault' as const),
      verb: fc.constant('watch' as const),
      times: fc.integer({ min: 1, max: 2 }),
      effect: watchFault,
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('pause' as const), ms: fc.nat(15) }) },
);

function play(server: FaultApiServer, action: Exclude<Step, { kind: 'pause' }>): void {
  const ref = { namespace: 'n', name: 'name' in action ? action.name : '' };
  const labels = (chosen: boolean) => ({ metadata: { ...ref, labels: { chosen: String(chosen) } } });
  const exists = server.get(configMaps, ref) !== undefined;
  switch (action.kind) {
    case 'put':
      server.put(configMaps, { ...labels(true), data: { value: String(action.value) } });
      return;
    case 'relabel':
      server.put(configMaps, labels(action.chosen));
      return;
    case 'remove':
      if (exists) server.remove(configMaps, ref);
      return;
    case 'recreate':
      if (exists) server.remove(configMaps, ref);
      server.put(configMaps, { ...labels(true), data: { value: 'recreated' } });
      return;
    case 'compact':
      server.compact();
      return;
    case 'bookmark':
      server.bookmark();
      return;
    case 'end':
      server.endWatches(action.how);
      return;
    case 'fault':
      server.inject(action);
  }
}

/** What a handler that only sees changes would believe; a change that contradicts what it knows is a defect. */
class Follower {
  readonly known = new Map<string, ConfigMap>();
  readonly contradictions: string[] = [];

  follow(change: Change<ConfigMap>): void {
    const uid = change.object.metadata.uid!;
    const known = this.known.get(uid);
    const expected = change.kind === 'updated' ? change.previous : known;
    if (known !== expected || (change.kind === 'added') !== (known === undefined)) {
      this.contradictions.push(`${change.kind} ${uid}`);
    }
    if (change.kind === 'deleted') this.known.delete(uid);
    else this.known.set(uid, change.object);
  }
}

const summary = (objects: Iterable<ConfigMap>): readonly string[] =>
  [...objects].map(({ metadata, data }) => `${metadata.uid} ${metadata.resourceVersion} ${data?.['value']}`).toSorted();

test('after any sequence of changes and faults the cache, and what handlers were told, equal the server', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      await using server = await FaultApiServer.start([configMaps]);
      const limits = { callTimeoutMs: 100, headersTimeoutMs: 100 };
      const transport = createTransport({ source: server.source, userAgent: 'test', limits });
      const timing = { ...fastTiming, idleMsMax: 100 };
      const options = { namespace: 'n', labelSelector: 'chosen=true' };
      const informer = createInformer({ transport, type: configMaps, options, timing });
      const follower = new Follower();
      informer.onChange((change) => follower.follow(change));
      informer.start();
      for (const action of steps) {
        if (action.kind === 'pause') await new Promise((resolve) => setTimeout(resolve, action.ms));
        else play(server, action);
      }
      server.clearFaults();
      const expected = () =>
        summary(server.objects(configMaps).filter((one) => one.metadata.labels?.['chosen'] === 'true'));
      await eventually(() => expect(summary(informer.store.list())).toEqual(expected()));
      await eventually(() => expect(informer.hasSynced).toBe(true));
      expect(summary(follower.known.values())).toEqual(expected());
      expect(follower.contradictions).toEqual([]);
      await informer.close();
      await transport.close();
    }),
    { numRuns: 100 },
  );
}, 60_000);
