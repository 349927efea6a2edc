import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

import { brokerLimits } from '#operator/broker/limits.ts';
import { WatchHub } from '#operator/broker/watch-hub.ts';
import { github } from '#test/support/broker-world.ts';

/** The part of a response that a stream needs. */
class FakeResponse extends EventEmitter {
  readonly lines: string[] = [];
  writableLength = 0;
  ended = false;
  destroyed = false;

  writeHead(): void {
    return undefined;
  }

  write(line: string): void {
    this.lines.push(line);
  }

  end(): void {
    this.ended = true;
  }

  destroy(): void {
    this.destroyed = true;
    this.emit('close');
  }

  get messages(): { kind: string; revision: string }[] {
    return this.lines.map((line) => JSON.parse(line) as { kind: string; revision: string });
  }
}

function setUp() {
  const counts: number[] = [];
  const ends: string[] = [];
  const hub = new WatchHub({
    snapshotOf: (server) => ({ server, title: 'GitHub', headers: [] }),
    observer: { streams: (count) => counts.push(count), streamCut: (why) => ends.push(why) },
    monotonicMs: () => Date.now(),
    bootId: 'boot',
    random: () => 0.5,
  });
  const open = (podUid = 'pod-1'): FakeResponse => {
    const response = new FakeResponse();
    hub.open(response as unknown as ServerResponse, github, { uid: podUid, role: 'server' });
    return response;
  };
  return { hub, counts, ends, open };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('open streams', () => {
  test('hear a heartbeat every three seconds, and none after the drain', () => {
    const { hub, open, ends } = setUp();
    const response = open();
    vi.advanceTimersByTime(9_000);
    expect(response.messages.map(({ kind }) => kind)).toEqual(['snapshot', 'heartbeat', 'heartbeat', 'heartbeat']);
    hub.drain();
    vi.advanceTimersByTime(9_000);
    expect(response.lines).toHaveLength(4);
    expect([response.ended, ends]).toEqual([true, ['draining']]);
    expect(() => open()).toThrow(expect.objectContaining({ code: 'ERR_DRAINING' }));
  });

  test('end after their life time, so that pods prove themselves again', () => {
    const { open, ends } = setUp();
    const response = open();
    vi.advanceTimersByTime(brokerLimits.streamLifetimeMs - 3_000);
    expect(response.ended).toBe(false);
    vi.advanceTimersByTime(6_000);
    expect([response.ended, ends]).toEqual([true, ['lifetime']]);
  });

  test('are cut as soon as too much waits for their reader, and the others go on', () => {
    const { hub, open, ends, counts } = setUp();
    const slow = open('pod-1');
    const quick = open('pod-2');
    slow.writableLength = brokerLimits.streamBacklogBytesMax + 1;
    hub.invalidate(github, 'alice');
    expect([slow.destroyed, quick.destroyed, ends]).toEqual([true, false, ['slow']]);
    hub.invalidate(github, 'bob');
    expect(slow.lines).toHaveLength(2);
    expect(quick.lines).toHaveLength(3);
    expect(counts.at(-1)).toBe(1);
  });

  test('are counted once when they end in several ways', () => {
    const { hub, open, ends, counts } = setUp();
    const response = open();
    response.emit('close');
    response.emit('error', new Error('late'));
    hub.endPod('pod-1');
    expect([ends, counts, hub.size]).toEqual([['clientGone'], [1, 0], 0]);
  });

  test('have a revision that moves with each change anywhere, and that no other process has', () => {
    const { hub, open } = setUp();
    const response = open();
    hub.invalidate({ namespace: 'other', name: 'server' }, 'alice');
    vi.advanceTimersByTime(3_000);
    const [snapshot, heartbeat] = response.messages;
    expect(snapshot?.revision).not.toBe(heartbeat?.revision);
    expect(snapshot?.revision.startsWith('boot.')).toBe(true);
  });
});
