import { describe, expect, test, vi } from 'vitest';
import { BodyBudget } from '#sidecar/proxy/body-budget.ts';
import { UserShares } from '#sidecar/proxy/user-shares.ts';
import { json, world } from './world.ts';

describe('what all users share', () => {
  test('is not had by one of them alone, and comes back', () => {
    const shares = new UserShares(2);
    shares.take('mallory', 2);
    expect(() => shares.take('mallory', 1)).toThrow('too much under way');
    shares.take('bob', 1);
    shares.giveBack('mallory', 1);
    expect(() => shares.take('mallory', 1)).not.toThrow();
  });

  test('is the memory for bodies, too', () => {
    const budget = new BodyBudget(100, 60);
    using mallory = budget.hold('mallory');
    mallory.take(60);
    expect(() => mallory.take(1)).toThrow('too much under way');
    using bob = budget.hold('bob');
    bob.take(40);
    expect(() => bob.take(1)).toThrow('Too many large requests');
  });

  test('ends with the request: a user with all places taken is refused until one of theirs has ended', async () => {
    const waiting: (() => void)[] = [];
    const { send } = world({
      userPlaces: new UserShares(2),
      respond: () => new Promise((resolve) => waiting.push(() => resolve(json(200, {})))),
    });
    const first = [send(), send()];
    await vi.waitFor(() => expect(waiting).toHaveLength(2));
    expect((await send()).status).toBe(503);
    for (const answer of waiting) answer();
    await Promise.all(first);
    const later = send();
    await vi.waitFor(() => expect(waiting).toHaveLength(3));
    waiting[2]!();
    expect((await later).status).toBe(200);
  });
});
