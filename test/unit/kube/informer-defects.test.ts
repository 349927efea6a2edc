import { deepEqual } from 'node:assert/strict';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { createInformer, type InformerConfig } from '#operator/kube/create-informer.ts';
import { silentLog } from '#operator/kube/observers.ts';
import type { Change, Informer } from '#operator/kube/informer.ts';
import type { ConfigMap } from '#operator/kube/resources.ts';
import { configMaps } from '#operator/kube/resources.ts';
import { createTransport, type Transport } from '#operator/kube/transport.ts';
import { FaultApiServer } from '#test/support/fault-api-server.ts';

import { eventually, fastTiming, fewestRetries } from './informer-fixture.ts';

/** What the widely used client's informer does wrong, one by one, must not be wrong here. */
describe('defects of a well-known informer that ours must not have', () => {
  let server: FaultApiServer;
  let transport: Transport;
  let informer: Informer<ConfigMap>;
  let changes: Change<ConfigMap>[];
  const rejections: unknown[] = [];
  const onRejection = (reason: unknown): void => void rejections.push(reason);

  beforeEach(async () => {
    rejections.length = 0;
    process.on('unhandledRejection', onRejection);
    server = await FaultApiServer.start([configMaps]);
    transport = createTransport({ source: server.source, userAgent: 'test', limits: fewestRetries });
    changes = [];
  });

  afterEach(async () => {
    await informer.close();
    await transport.close();
    await server.close();
    await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', onRejection);
    deepEqual(rejections, []);
  });

  function start(config: Partial<InformerConfig<ConfigMap>> = {}): Informer<ConfigMap> {
    informer = createInformer({ transport, type: configMaps, timing: fastTiming, ...config });
    informer.onChange((change) => void changes.push(change));
    informer.start();
    return informer;
  }

  const put = (name: string, value = '1'): ConfigMap =>
    server.put(configMaps, { metadata: { namespace: 'a', name }, data: { value } });
  const kinds = (): readonly string[] => changes.map((change) => `${change.kind} ${change.object.metadata.name}`);

  test.each([500, 403, 503, 429])(
    '1: a watch that answers %i is tried again until the server recovers',
    async (status) => {
      server.inject({ verb: 'watch', times: 4, effect: { kind: 'status', status } });
      await start().synced();
      put('later');
      await eventually(() => expect(kinds()).toEqual(['added later']));
      expect(server.requestsOf('watch').length).toBeGreaterThanOrEqual(5);
    },
  );

  test('2: a first list that fails is tried again, and synced waits for it', async () => {
    put('x');
    server.inject({ verb: 'list', times: 3, effect: { kind: 'status', status: 500 } });
    start();
    expect(informer.hasSynced).toBe(false);
    await informer.synced();
    expect(informer.store.size).toBe(1);
    expect(server.requestsOf('list')).toHaveLength(4);
  });

  test('3: closing is silent: no error, no restart', async () => {
    const errors: string[] = [];
    const note = (message: string): void => void errors.push(message);
    await start({ log: { debug: note, info: note, warn: note, error: note } }).synced();
    await eventually(() => expect(server.watchesOpen).toBe(1));
    await informer.close();
    expect(errors).toEqual([]);
    await eventually(() => expect(server.watchesOpen).toBe(0));
  });

  test('4: closing during the back-off ends it: nothing is sent afterwards', async () => {
    const longBackoff = { ...fastTiming, backoff: { delayMsMin: 30_000, delayMsMax: 30_000, resetAfterMs: 60_000 } };
    server.inject({ verb: 'watch', times: 1, effect: { kind: 'status', status: 500 } });
    await start({ timing: longBackoff, random: () => 1 }).synced();
    await eventually(() => expect(server.requestsOf('watch')).toHaveLength(1));
    await new Promise((resolve) => setTimeout(resolve, 20));
    await informer.close();
    const sent = server.requests.length;
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(server.requests).toHaveLength(sent);
  });

  test('5: delete and recreate while disconnected is a deletion and an addition, not an update', async () => {
    const old = put('x');
    await start().synced();
    await eventually(() => expect(server.watchesOpen).toBe(1));
    const recover = server.inject({ verb: 'watch', times: Infinity, effect: { kind: 'status', status: 500 } });
    server.endWatches('reset');
    server.remove(configMaps, { namespace: 'a', name: 'x' });
    const recreated = put('x', '2');
    server.compact();
    recover();
    await eventually(() => expect(kinds()).toEqual(['added x', 'deleted x', 'added x']));
    expect(changes[1]?.object.metadata.uid).toBe(old.metadata.uid);
    expect(changes[2]?.object.metadata.uid).toBe(recreated.metadata.uid);
    expect(informer.store.getByUid(old.metadata.uid!)).toBeUndefined();
  });

  test('5b: the same within a watch that missed the deletion', async () => {
    await start().synced();
    put('x');
    await eventually(() => expect(kinds()).toEqual(['added x']));
    server.remove(configMaps, { namespace: 'a', name: 'x' });
    put('x', '2');
    await eventually(() => expect(kinds()).toEqual(['added x', 'deleted x', 'added x']));
  });

  test('6: a handler that throws on an event loses nothing for itself or for the others', async () => {
    informer = createInformer({ transport, type: configMaps, timing: fastTiming });
    let failures = 0;
    informer.onChange(() => {
      failures += 1;
      throw new Error('a defect in a handler');
    });
    informer.onChange((change) => void changes.push(change));
    informer.start();
    await informer.synced();
    put('x');
    put('y');
    await eventually(() => expect(kinds()).toEqual(['added x', 'added y']));
    expect(failures).toBe(2);
    server.endWatches();
    put('z');
    await eventually(() => expect(kinds()).toEqual(['added x', 'added y', 'added z']));
    expect(server.requestsOf('list')).toHaveLength(1);
  });

  test('7: a handler that throws during the first list leaves a full cache and a running watch', async () => {
    for (const name of ['x', 'y', 'z']) put(name);
    informer = createInformer({ transport, type: configMaps, timing: fastTiming });
    informer.onChange(() => {
      throw new Error('a defect in a handler');
    });
    informer.start();
    await informer.synced();
    expect(informer.store.size).toBe(3);
    put('later');
    await eventually(() => expect(informer.store.size).toBe(4));
  });

  test('8: watches ask for bookmarks and a bounded time, and resume from a bookmark without listing again', async () => {
    await start().synced();
    await eventually(() => expect(server.watchesOpen).toBe(1));
    const [first] = server.requestsOf('watch');
    expect(first?.query.get('allowWatchBookmarks')).toBe('true');
    expect(Number(first?.query.get('timeoutSeconds'))).toBeGreaterThanOrEqual(300);
    expect(Number(first?.query.get('timeoutSeconds'))).toBeLessThanOrEqual(600);
    server.compact();
    server.bookmark();
    await new Promise((resolve) => setTimeout(resolve, 30));
    server.endWatches();
    put('x');
    await eventually(() => expect(kinds()).toEqual(['added x']));
    expect(server.requestsOf('list')).toHaveLength(1);
  });

  test('9: a quiet watch with bookmarks stays; one without a byte is replaced after the idle limit', async () => {
    await start({ timing: { ...fastTiming, idleMsMax: 150 } }).synced();
    await eventually(() => expect(server.watchesOpen).toBe(1));
    for (let beat = 0; beat < 8; beat += 1) {
      server.bookmark();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(server.requestsOf('watch')).toHaveLength(1);
    await eventually(() => expect(server.requestsOf('watch').length).toBeGreaterThan(1));
  });

  test('9b: a watch whose server went silent is replaced, and what was missed arrives', async () => {
    server.inject({ verb: 'watch', times: 1, effect: { kind: 'silent' } });
    await start({ timing: { ...fastTiming, idleMsMax: 100 } }).synced();
    put('x');
    await eventually(() => expect(kinds()).toEqual(['added x']));
  });

  test('9b1: a watch on which nothing happens goes on where it was, without a new list and without a warning', async () => {
    const warned: string[] = [];
    const log = { ...silentLog, warn: (message: string) => void warned.push(message) };
    await start({ timing: { ...fastTiming, idleMsMax: 60 }, log }).synced();
    await eventually(() => expect(server.requestsOf('watch').length).toBeGreaterThan(2));
    const lists = server.requestsOf('list').filter(({ query }) => query.get('limit') !== '1');
    expect(lists).toHaveLength(1);
    expect(warned).toEqual([]);
  });

  test('9b2: a server that came back from an older backup is listed again, and its older state is taken over', async () => {
    for (let round = 0; round < 5; round += 1) put('x', String(round));
    await start({ timing: { ...fastTiming, idleMsMax: 100 } }).synced();
    await eventually(() => expect(server.watchesOpen).toBe(1));
    server.rewind(101);
    await eventually(() => expect(informer.store.get('a', 'x')?.data).toEqual({ value: '0' }));
    put('y');
    await eventually(() => expect(kinds()).toEqual(['added x', 'updated x', 'added y']));
  });

  test('9c: reconnecting uses the sockets that are there', async () => {
    await start().synced();
    for (let round = 0; round < 20; round += 1) {
      await eventually(() => expect(server.watchesOpen).toBe(1));
      put(`x${round}`);
      server.endWatches();
    }
    await eventually(() => expect(kinds()).toHaveLength(20));
    expect(server.socketsOpened).toBeLessThanOrEqual(4);
  });

  test('10: lists are paged under one version, handlers get turns, and updates carry the previous object', async () => {
    for (let index = 0; index < 1200; index += 1) put(`m${index}`);
    let turns = 0;
    const tick = setInterval(() => (turns += 1), 0);
    // A change between two pages must not tear the listing.
    server.inject({
      verb: 'list',
      times: 1,
      when: (seen) => seen.query.has('continue') && Boolean(put('torn')),
      effect: { kind: 'delay', ms: 1 },
    });
    await start().synced();
    clearInterval(tick);
    const pages = server.requestsOf('list');
    expect(pages).toHaveLength(3);
    expect(pages.every((page) => page.query.get('limit') === '500')).toBe(true);
    expect(turns).toBeGreaterThan(0);
    await eventually(() => expect(kinds()).toHaveLength(1201));
    const before = informer.store.get('a', 'm1');
    put('m1', '2');
    await eventually(() => expect(changes.at(-1)?.kind).toBe('updated'));
    const last = changes.at(-1);
    expect(last?.kind === 'updated' && last.previous).toBe(before);
  });

  test('10b: what cannot be parsed is a failure that is logged and retried, not an event that is swallowed', async () => {
    const messages: string[] = [];
    const note = (message: string): void => void messages.push(message);
    server.inject({ verb: 'watch', times: 1, effect: { kind: 'garbage', text: '{"type":"ADDED","object":\n{}' } });
    await start({ log: { debug: note, info: note, warn: note, error: note } }).synced();
    put('x');
    await eventually(() => expect(kinds()).toEqual(['added x']));
    expect(messages).toContain('list or watch failed, trying again');
  });
});
