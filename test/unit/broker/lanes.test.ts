import { describe, expect, test } from 'vitest';

import { Lanes } from '#operator/broker/lanes.ts';

/** Work that ends when it is told to. */
function held(): { readonly work: () => Promise<string>; readonly end: () => void; readonly started: () => boolean } {
  const { promise, resolve } = Promise.withResolvers<string>();
  let started = false;
  const work = (): Promise<string> => {
    started = true;
    return promise;
  };
  return { work, end: () => resolve('done'), started: () => started };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('lanes', () => {
  test('let so many of one key run, the next in order wait, and refuse more', async () => {
    const lanes = new Lanes({ runningMax: 1, waitingMax: 1 });
    const [first, second, third] = [held(), held(), held()];
    const running = lanes.run('pod', first.work);
    const waiting = lanes.run('pod', second.work);
    await expect(lanes.run('pod', third.work)).rejects.toMatchObject({ code: 'ERR_BUSY' });
    await turn();
    expect([first.started(), second.started(), third.started()]).toEqual([true, false, false]);
    first.end();
    await running;
    await turn();
    expect(second.started()).toBe(true);
    second.end();
    expect(await waiting).toBe('done');
    third.end();
    expect(await lanes.run('pod', third.work)).toBe('done');
  });

  test('keep keys apart', async () => {
    const lanes = new Lanes({ runningMax: 1, waitingMax: 0 });
    const [one, other] = [held(), held()];
    const all = [lanes.run('pod-1', one.work), lanes.run('pod-2', other.work)];
    one.end();
    other.end();
    expect(await Promise.all(all)).toEqual(['done', 'done']);
  });

  test('go on after work that failed', async () => {
    const lanes = new Lanes({ runningMax: 1, waitingMax: 0 });
    await expect(lanes.run('pod', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await lanes.run('pod', () => Promise.resolve(1))).toBe(1);
  });
});
