import fc from 'fast-check';
import { expect, test } from 'vitest';

import type { UserKeyControl } from '#cli/contract/request-control.ts';
import type { UserKeyResponse } from '#cli/contract/responses.ts';
import type { UserKeyRequest } from '#crds/v1alpha1/generated/user-key-request.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import { effectivePolicy } from '#operator/policy/effective-policy.ts';
import { decideOpening } from '#operator/broker/lease.ts';
import { KubeError } from '#operator/kube/errors.ts';
import { type Secret, secrets } from '#operator/kube/resources.ts';
import { verifies } from '#test/requirements.ts';

import { textOf } from '../keystore/fixtures.ts';
import { github, namespace, testIntake } from '../intake/fixtures.ts';

const alice = { issuer: 'kubernetes', id: 'alice', name: 'alice' };
const address = {
  organization: 'default',
  server: { namespace, name: 'github' },
  serverUid: 'uid-of-github',
  subject: alice,
};

type World = Awaited<ReturnType<typeof testIntake>>;
type Kind = 'set' | 'revoke' | 'delete';

/** What happens at the calls to the API server, in turn. */
interface Moment {
  readonly what: 'nothing' | 'fails' | 'putsBack';
  /** Between this call and the next; it may go back, as with another replica that leads. */
  readonly clockMs: number;
  readonly yields: number;
}

/** Orders of the user; `together`: it comes while the one before is under way. */
const steps = fc.array(
  fc.record({ kind: fc.constantFrom<Kind>('set', 'set', 'revoke', 'delete'), together: fc.boolean() }),
  { minLength: 2, maxLength: 6 },
);
const moments = fc.array(
  fc.record({
    what: fc.constantFrom<Moment['what']>('nothing', 'nothing', 'nothing', 'fails', 'putsBack'),
    clockMs: fc.integer({ min: -3, max: 20 }),
    yields: fc.nat(6),
  }),
  { minLength: 10, maxLength: 60 },
);

/** Adds what lies in the key namespace now, in the order in which it was seen first. */
function collectSealed({ cluster }: World, sealed: Secret[]): void {
  for (const [key, object] of cluster.objects) {
    const secret: Secret = object;
    if (key.startsWith('secrets mcp-keyring-keys') && !sealed.includes(secret)) sealed.push(secret);
  }
}

/** What the broker would hand out. */
async function handedOut(world: World): Promise<string | undefined> {
  const userKey = world.informers.userKeys.store.get(namespace, world.store.userKeyNameOf(address)) as
    | UserKey
    | undefined;
  const policy = effectivePolicy(github, [], { subject: alice, groups: [] });
  const opening = decideOpening({ userKey, server: github, subject: alice, policy, nowMs: Date.now() });
  if (opening.kind !== 'open') return undefined;
  try {
    using opened = await world.store.open(address, opening.versionMin);
    return textOf(opened?.headers)?.['Authorization'];
  } catch {
    return undefined;
  }
}

interface Sent {
  readonly kind: Kind;
  readonly value: string;
  readonly request: UserKeyRequest;
  readonly openResponse: (sealed: string) => UserKeyResponse;
}

/** The user, who sends orders and knows which of their values may still be used. */
class User {
  /** Replaced, revoked or deleted by an order that was answered, and set before that order was sent. */
  readonly dead = new Set<string>();
  readonly #answered = new Set<string>();
  readonly #world: World;
  #sent = 0;

  constructor(world: World) {
    this.#world = world;
  }

  send(kind: Kind): Sent & { readonly kills: readonly string[] } {
    this.#sent += 1;
    const value = `ghp_${this.#sent}`;
    const control: UserKeyControl =
      kind === 'revoke'
        ? { v: 1, operation: 'revoke', whose: 'own', server: 'github' }
        : { v: 1, operation: kind, server: 'github' };
    const sent = this.#world.send(control, kind === 'set' ? { Authorization: value } : {});
    return { kind, value, ...sent, kills: [...this.#answered] };
  }

  /** As the controller does: until there is an answer. */
  async carryOut(order: Sent & { readonly kills: readonly string[] }): Promise<UserKeyResponse> {
    const { request, openResponse, kind, value, kills } = order;
    for (let attempt = 0; attempt < 40; attempt += 1) {
      await this.#world.handle(request).catch(() => {});
      const sealed = this.#world.stored(request)?.status?.sealedResponse;
      if (sealed === undefined) continue;
      const response = openResponse(sealed);
      if (response.outcome === 'ok') {
        for (const killed of kills) this.dead.add(killed);
        if (kind === 'set') this.#answered.add(value);
      }
      return response;
    }
    throw new Error('it is never answered');
  }
}

test(
  verifies('revocation:interleavings'),
  async () => {
    await fc.assert(
      fc.asyncProperty(steps, moments, async (plan, script) => {
        const world = await testIntake();
        const user = new User(world);
        const sealed: Secret[] = [];
        const wrong: string[] = [];
        let call = 0;
        let isQuiet = false;
        world.cluster.beforeCall = async (name) => {
          if (isQuiet) return;
          const moment = script[call] ?? { what: 'nothing', clockMs: 1, yields: 0 };
          call += 1;
          world.clock.now = new Date(world.clock.now.getTime() + moment.clockMs);
          for (let i = 0; i < moment.yields; i += 1) await Promise.resolve();
          collectSealed(world, sealed);
          const [older] = sealed;
          if (moment.what === 'putsBack' && older !== undefined) world.cluster.put(secrets, older);
          if (!name.startsWith('get ')) {
            isQuiet = true;
            const value = await handedOut(world);
            isQuiet = false;
            if (value !== undefined && user.dead.has(value)) wrong.push(value);
          }
          if (moment.what === 'fails') throw new KubeError('Unavailable', 'no answer');
        };
        let running: Promise<UserKeyResponse>[] = [];
        for (const { kind, together } of plan) {
          if (!together) {
            await Promise.all(running);
            running = [];
          }
          running.push(user.carryOut(user.send(kind)));
        }
        await Promise.all(running);
        const left = await handedOut(world);
        if (left !== undefined && user.dead.has(left)) wrong.push(left);
        expect(wrong).toEqual([]);
        world.cluster.beforeCall = () => {};
        const last = user.send('set');
        expect(await user.carryOut(last)).toMatchObject({ outcome: 'ok' });
        expect(await handedOut(world)).toBe(last.value);
        for (const older of sealed) {
          world.cluster.put(secrets, older);
          expect([undefined, last.value]).toContain(await handedOut(world));
        }
        const sets = world.audited.filter(({ type }) => type === 'key.set');
        expect(new Set(sets.map(({ id }) => id)).size).toBe(plan.filter(({ kind }) => kind === 'set').length + 1);
      }),
      { numRuns: 150 },
    );
  },
  120_000,
);
