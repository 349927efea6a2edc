import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { PolicySnapshot } from '#contract/watch.ts';
import { silenceMsMax } from '#contract/watch.ts';
import { stallMsMax, WatchClient } from '#sidecar/leases/watch-client.ts';

const server = { namespace: 'team-a', name: 'notes' };
const policy: PolicySnapshot = { server, title: 'Notes', headers: [] };

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A broker whose streams a test writes by hand. */
function set() {
  const said: string[] = [];
  const usable: (number | undefined)[] = [];
  const paths: string[] = [];
  const streams: ReadableStreamDefaultController<Uint8Array>[] = [];
  const broker = { up: true };
  const client = new WatchClient({
    server,
    nowMs: () => performance.now(),
    open: async (path, signal) => {
      paths.push(path);
      if (!broker.up) throw new Error('refused');
      return new ReadableStream<Uint8Array>({
        start: (controller) => {
          streams.push(controller);
          signal.addEventListener('abort', () => controller.error(new Error('aborted')));
        },
      });
    },
    listener: {
      snapshot: (_policy, missed) => {
        said.push(missed === undefined ? 'snapshot' : 'snapshot, missed');
        usable.push(missed?.usableMs);
      },
      invalidate: (subjectKey) => said.push(`invalidate ${subjectKey}`),
      silent: () => said.push('silent'),
      interrupted: () => said.push('interrupted'),
    },
  });
  const send = async (...messages: readonly (object | string)[]): Promise<void> => {
    const text = messages
      .map((message) => (typeof message === 'string' ? message : `${JSON.stringify(message)}\n`))
      .join('');
    streams.at(-1)!.enqueue(new TextEncoder().encode(text));
    await vi.advanceTimersByTimeAsync(0);
  };
  const begin = async (): Promise<void> => {
    void client.run();
    await vi.advanceTimersByTimeAsync(0);
  };
  return { client, said, usable, paths, streams, broker, send, begin };
}

const snapshot = (revision: string) => ({ kind: 'snapshot', revision, policy });
const heartbeat = (revision: string) => ({ kind: 'heartbeat', revision });
const invalidate = (revision: string, subjectKey: string) => ({ kind: 'invalidate', revision, subjectKey });

test('watches from the first snapshot on', async () => {
  const { client, said, paths, send, begin } = set();
  expect(client.isWatching()).toBe(false);
  await begin();
  expect(client.isWatching()).toBe(false);
  await send(snapshot('a.1'));
  expect(client.policy).toEqual(policy);
  expect(client.isWatching()).toBe(true);
  expect(client.connected).toBe(true);
  await send(invalidate('a.2', 'alice'), heartbeat('a.2'));
  expect(said).toEqual(['snapshot, missed', 'invalidate alice']);
  expect(paths).toEqual(['/v1/watch?namespace=team-a&name=notes']);
  client.stop();
});

test('reads lines however they are cut', async () => {
  const { client, said, send, begin } = set();
  await begin();
  const line = JSON.stringify(snapshot('a.1'));
  await send(line.slice(0, 10));
  await send(line.slice(10));
  expect(said).toEqual([]);
  await send('\n');
  expect(said).toEqual(['snapshot, missed']);
  client.stop();
});

test('ends everything after ten seconds without a word, by the clock and by itself', async () => {
  const { client, said, broker, streams, send, begin } = set();
  await begin();
  await send(snapshot('a.1'));
  broker.up = false;
  streams[0]!.close();
  await vi.advanceTimersByTimeAsync(silenceMsMax - 1);
  expect(client.isWatching()).toBe(true);
  expect(said).not.toContain('silent');
  await vi.advanceTimersByTimeAsync(1);
  expect(client.isWatching()).toBe(false);
  expect(said.filter((word) => word === 'silent')).toHaveLength(1);
  client.stop();
});

test('opens a stream anew that has stalled, in time to keep the leases', async () => {
  const { client, said, streams, send, begin } = set();
  await begin();
  await send(snapshot('a.1'));
  await vi.advanceTimersByTimeAsync(stallMsMax + 150);
  expect(streams).toHaveLength(2);
  await send(snapshot('a.1'));
  expect(client.isWatching()).toBe(true);
  expect(said).toEqual(['snapshot, missed', 'interrupted', 'snapshot']);
  client.stop();
});

test('lets leases of before a gap be used for no longer than had nothing come back', async () => {
  const { client, usable, streams, broker, send, begin } = set();
  await begin();
  await send(snapshot('a.1'));
  expect(usable).toEqual([0]);
  broker.up = false;
  streams[0]!.close();
  await vi.advanceTimersByTimeAsync(silenceMsMax - 2_500);
  broker.up = true;
  while (streams.length < 2) await vi.advanceTimersByTimeAsync(10);
  const heardMs = performance.now();
  await send(snapshot('a.2'));
  expect(usable[1]).toBe(silenceMsMax - heardMs);
  // The clock says that the time is over before its timer has come.
  streams[1]!.close();
  while (streams.length < 3) await vi.advanceTimersByTimeAsync(10);
  const clock = vi.spyOn(performance, 'now').mockReturnValue(heardMs + silenceMsMax + 1);
  await send(snapshot('a.3'));
  expect(usable[2]).toBe(0);
  clock.mockRestore();
  client.stop();
});

test('tells whether something may have been missed', async () => {
  const { client, said, paths, streams, send, begin } = set();
  await begin();
  await send(snapshot('a.1'), heartbeat('a.7'));
  streams[0]!.close();
  await vi.advanceTimersByTimeAsync(150);
  expect(paths[1]).toContain('&revision=a.7');
  await send(snapshot('a.7'));
  streams[1]!.close();
  await vi.advanceTimersByTimeAsync(150);
  await send(snapshot('b.7'));
  await send(snapshot('b.8'));
  expect(said).toEqual([
    'snapshot, missed',
    'interrupted',
    'snapshot',
    'interrupted',
    'snapshot, missed',
    'snapshot, missed',
  ]);
  client.stop();
});

test.each<[string, object | string]>([
  ['an invalidation before a snapshot', invalidate('a.1', 'all')],
  ['a heartbeat before a snapshot', heartbeat('a.1')],
  [
    'a snapshot of another server',
    { ...snapshot('a.1'), policy: { ...policy, server: { namespace: 'team-b', name: 'notes' } } },
  ],
  ['a word it does not know', { kind: 'hello', revision: 'a.1' }],
  ['no JSON', 'hello\n'],
  ['an endless line', 'x'.repeat(1_100_000)],
])('does not go on after %s', async (_reason, message) => {
  const { client, said, begin, send } = set();
  await begin();
  await send(message);
  expect(said).toEqual(['interrupted']);
  expect(client.isWatching()).toBe(false);
  client.stop();
});

test('comes back with growing waits of at most two seconds', async () => {
  const { client, paths, broker, begin } = set();
  broker.up = false;
  await begin();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(paths.length).toBeGreaterThanOrEqual(4);
  expect(paths.length).toBeLessThanOrEqual(7);
  const before = paths.length;
  await vi.advanceTimersByTimeAsync(20_000);
  expect(paths.length - before).toBeGreaterThanOrEqual(10);
  expect(paths.length - before).toBeLessThanOrEqual(21);
  client.stop();
});
