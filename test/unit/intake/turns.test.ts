import { expect, test } from 'vitest';

import { Turns } from '#operator/intake/turns.ts';

const settled = () => new Promise((done) => setImmediate(done));

test('orders about one key run one after the other, in the order they came; others do not wait', async () => {
  const turns = new Turns();
  const log: string[] = [];
  const first = await turns.take('a');
  const later = ['second', 'third'].map(async (name) => {
    using _turn = await turns.take('a');
    log.push(`${name} begins`);
    await settled();
    log.push(`${name} ends`);
  });
  using _other = await turns.take('b');
  await settled();
  expect(log).toEqual([]);
  first[Symbol.dispose]();
  await Promise.all(later);
  expect(log).toEqual(['second begins', 'second ends', 'third begins', 'third ends']);
});

test('an order that fails ends its turn', async () => {
  const turns = new Turns();
  const failing = async () => {
    using _turn = await turns.take('a');
    throw new Error('no answer');
  };
  await expect(failing()).rejects.toThrow('no answer');
  using _turn = await turns.take('a');
});
