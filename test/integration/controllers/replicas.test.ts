import { afterEach, beforeAll, afterAll, describe, expect, test } from 'vitest';

import { type ControlPlane, startControlPlane } from '#test/support/control-plane.ts';

import { applyAll, installPrerequisites, OperatorProcess } from './installation.ts';
import { brief, find, namespace, organization, server } from './objects.ts';

const leads = 'this replica is the leader';
const patience = { timeout: 20_000, interval: 200 };

let plane: ControlPlane;
const running: OperatorProcess[] = [];

beforeAll(async () => {
  plane = await startControlPlane();
  await installPrerequisites(plane);
  await applyAll(plane, [organization('acme'), namespace('team-a', { org: 'acme' })]);
});

afterEach(async () => {
  await Promise.all(running.splice(0).map((operator) => operator[Symbol.asyncDispose]()));
});

afterAll(async () => {
  await plane?.[Symbol.asyncDispose]();
});

async function replica(name: string, flags: readonly string[] = []): Promise<OperatorProcess> {
  const operator = await OperatorProcess.start(plane, [`--pod-name=${name}`, ...flags]);
  running.push(operator);
  await operator.said('started');
  return operator;
}

async function leaderAndFollower(): Promise<readonly [OperatorProcess, OperatorProcess]> {
  const first = await replica('first');
  // The lease of an earlier test may have to run out first.
  await first.said(leads, 25_000);
  return [first, await replica('second')];
}

async function reconciles(name: string): Promise<void> {
  await applyAll(plane, [server('team-a', name)]);
  const look = async () => brief(await find(plane, `mcps/${name}`, '-n', 'team-a'));
  await expect.poll(look, { ...patience, timeout: 40_000 }).toContain('Ready=False/NoPods');
}

describe('two replicas', () => {
  test('both serve, one leads', async () => {
    const [first, second] = await leaderAndFollower();
    for (const operator of [first, second]) {
      expect((await operator.get('/readyz')).status).toBe(200);
      expect(operator.lines.map(({ message }) => message)).toEqual(
        expect.arrayContaining(['serving admission', 'serving sidecars']),
      );
    }
    expect((await first.get('/metrics')).text).toContain(
      'leader_election_master_status{name="mcp-keyring-operator"} 1',
    );
    expect((await second.get('/metrics')).text).toContain(
      'leader_election_master_status{name="mcp-keyring-operator"} 0',
    );
  });

  test('a leader that is told to stop drains, gives the lease back and exits 0', async () => {
    const [first, second] = await leaderAndFollower();
    const startedAtMs = Date.now();
    const exit = first.stop();
    await expect.poll(async () => (await first.get('/readyz')).status, patience).toBe(503);
    expect((await first.get('/livez')).status).toBe(200);
    expect(await exit).toBe(0);
    expect(Date.now() - startedAtMs).toBeLessThan(12_000);
    await second.said(leads, 5_000);
    await reconciles('after-drain');
  });

  test('a killed leader is replaced within the lease and a retry', async () => {
    const [first, second] = await leaderAndFollower();
    await first.stop('SIGKILL');
    const killedAtMs = Date.now();
    await second.said(leads, 25_000);
    expect(Date.now() - killedAtMs).toBeLessThan(19_500);
    await reconciles('after-kill');
  });

  test('a leader that stood still for too long exits 1 and writes nothing', async () => {
    const [first, second] = await leaderAndFollower();
    process.kill(first.pid, 'SIGSTOP');
    await second.said(leads, 25_000);
    await applyAll(plane, [server('team-a', 'after-stop')]);
    process.kill(first.pid, 'SIGCONT');
    expect(await first.exited).toBe(1);
    expect((await second.get('/livez')).status).toBe(200);
  });
});

describe('one replica', () => {
  test('that does not lead outlives the API server, serves on, and sees what came meanwhile', async () => {
    const operator = await replica('serving', ['--targets=admission,broker']);
    const servers = async (): Promise<number> => {
      const { text } = await operator.get('/metrics');
      return Number(/^mcpkeyring_informer_objects\{resource="mcpservers"\} (\d+)$/m.exec(text)?.[1]);
    };
    const before = await servers();
    await plane.killApiServer();
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    expect((await operator.get('/readyz')).status).toBe(200);
    await plane.startApiServer();
    await applyAll(plane, [server('team-a', 'after-outage')]);
    await expect.poll(servers, { timeout: 40_000, interval: 500 }).toBe(before + 1);
  });

  test('that leads and cannot renew its lease exits 1, and its successor goes on', async () => {
    const operator = await replica('only');
    await operator.said(leads, 25_000);
    await plane.killApiServer();
    expect(await operator.exited).toBe(1);
    await plane.startApiServer();
    const successor = await replica('successor');
    await successor.said(leads, 25_000);
    await reconciles('after-restart');
  });

  test('runs only the targets that it was given', async () => {
    const operator = await replica('admission-only', ['--targets=admission']);
    expect((await operator.get('/readyz')).status).toBe(200);
    const said = operator.lines.map(({ message }) => message);
    expect(said).toContain('serving admission');
    expect(said).not.toContain('serving sidecars');
    expect(said).not.toContain(leads);
  });
});
