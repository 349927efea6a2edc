import { describe, expect, test } from 'vitest';

import type { McpServer, McpServerStatus } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { Decision } from '#operator/controllers/decision.ts';
import type { ObjectEvent } from '#operator/controllers/events.ts';
import { stampConditions } from '#operator/controllers/conditions.ts';
import { desiredService } from '#operator/controllers/mcp-server/resources.ts';
import { reconcileWith } from '#operator/controllers/runner.ts';
import { WrittenVersions } from '#operator/controllers/written-versions.ts';
import { KubeError } from '#operator/kube/errors.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import { mcpServers } from '#operator/kube/keyring-resources.ts';
import { services } from '#operator/kube/resources.ts';

import { brief, messageOf, now, server } from './fixtures.ts';

type TestAction = 'wave';

/** An API server that keeps what is applied, and counts every write. */
function world(object: McpServer) {
  const state = {
    object,
    child: undefined as KubeObject | undefined,
    version: 100,
    refuse: undefined as KubeError | undefined,
    foreign: undefined as KubeObject | undefined,
  };
  const calls: string[] = [];
  const told: ObjectEvent[] = [];
  const nextVersion = (): string => String((state.version += 1));
  const write = (kind: string, body: KubeObject): KubeObject => {
    calls.push(kind);
    return { ...body, metadata: { ...body.metadata, uid: 'uid-child', resourceVersion: nextVersion() } };
  };
  const client = {
    get: async () => state.foreign,
    async apply(type: { kind: string }, body: { status?: McpServerStatus }, options: { subresource?: string }) {
      if (options.subresource === 'status') {
        calls.push(`status ${brief(body.status)}`);
        const metadata = { ...state.object.metadata, resourceVersion: nextVersion() };
        state.object = { ...state.object, metadata, ...(body.status === undefined ? {} : { status: body.status }) };
        return state.object;
      }
      if (state.refuse !== undefined) throw state.refuse;
      state.child = write(`apply ${type.kind}`, body as unknown as KubeObject);
      return state.child;
    },
    async delete(type: { kind: string }, _ref: unknown, options: { preconditionUid?: string }) {
      calls.push(`delete ${type.kind} ${options.preconditionUid}`);
      return true;
    },
    async mergePatch(_type: unknown, _ref: unknown, patch: object) {
      calls.push(`patch ${JSON.stringify(patch)}`);
      return state.object;
    },
  };
  return { state, calls, told, client };
}

type World = ReturnType<typeof world>;

interface Behaviour {
  readonly announces?: boolean;
  readonly foreignStatusFields?: readonly string[];
  readonly steps?: (w: World) => Decision<McpServerStatus, TestAction>['steps'];
  readonly act?: () => Promise<void>;
  readonly requeueAfterMs?: number;
}

const ready = { type: 'Ready', status: 'True', reason: 'Serving', message: 'Fine' } as const;

function reconciler(w: World, behaviour: Behaviour = {}, cached: () => McpServer = () => w.state.object) {
  const steps =
    behaviour.steps ??
    (() => [
      {
        kind: 'apply',
        type: services,
        desired: desiredService(server()),
        ...(w.state.child === undefined ? {} : { observed: w.state.child }),
      },
    ]);
  return reconcileWith<McpServer, { readonly object: McpServer }, TestAction>(
    {
      name: 'test',
      type: mcpServers,
      announces: behaviour.announces ?? false,
      ...(behaviour.foreignStatusFields && { foreignStatusFields: behaviour.foreignStatusFields }),
      observe: ({ name }) => (name === w.state.object.metadata.name ? { object: cached() } : undefined),
      decide: ({ object }, at) => ({
        steps: steps(w),
        status: {
          conditions: stampConditions([ready], { previous: object.status?.conditions, generation: 2, now: at }),
        },
        ...(behaviour.requeueAfterMs === undefined ? {} : { requeueAfterMs: behaviour.requeueAfterMs }),
      }),
      ...(behaviour.act === undefined ? {} : { act: behaviour.act }),
    },
    {
      client: w.client as never,
      recordEvent: (_object, event) => void w.told.push(event),
      written: new WrittenVersions(() => 0),
      now: () => now,
    },
  );
}

const key = { namespace: 'team-a', name: 'github' };
const { signal } = new AbortController();

describe('the runner', () => {
  test('applies, then writes the status; a second time it writes nothing', async () => {
    const w = world(server());
    const reconcile = reconciler(w);
    await reconcile(key, signal);
    expect(w.calls).toEqual(['apply Service', 'status Ready=True/Serving']);
    await reconcile(key, signal);
    expect(w.calls).toHaveLength(2);
  });

  test('leaves fields of the status to who else writes them', async () => {
    const w = world(server());
    const reconcile = reconciler(w, { foreignStatusFields: ['url'] });
    await reconcile(key, signal);
    w.state.object = { ...w.state.object, status: { ...w.state.object.status, url: 'http://example.com' } };
    await reconcile(key, signal);
    expect(w.calls).toEqual(['apply Service', 'status Ready=True/Serving']);
    w.state.refuse = new KubeError('Forbidden', 'no');
    w.state.child = undefined;
    await expect(reconcile(key, signal)).rejects.toThrow('no');
    expect(w.calls.at(-1)).toContain('Ready=False/ApplyFailed');
    expect(w.state.object.status).not.toHaveProperty('url');
  });

  test('applies again what somebody changed, and what somebody else applied', async () => {
    const w = world(server());
    const reconcile = reconciler(w);
    await reconcile(key, signal);
    const child = w.state.child as KubeObject & { spec: object };
    w.state.child = {
      ...child,
      spec: { ...child.spec, selector: { 'mcpkeyring.io/server': 'github', added: 'key' } },
    } as KubeObject;
    await reconcile(key, signal);
    expect(w.calls.filter((call) => call === 'apply Service')).toHaveLength(2);
    w.state.child = { ...w.state.child, metadata: { ...w.state.child.metadata, annotations: {} } };
    await reconcile(key, signal);
    expect(w.calls.filter((call) => call === 'apply Service')).toHaveLength(3);
  });

  test('is content with defaults that the API server added', async () => {
    const w = world(server());
    const reconcile = reconciler(w);
    await reconcile(key, signal);
    const child = w.state.child as KubeObject & { spec: { ports: object[] } };
    const ports = child.spec.ports.map((port) => ({ ...port, nodePort: 0 }));
    w.state.child = { ...child, spec: { ...child.spec, ports, clusterIP: '10.0.0.1' } } as KubeObject;
    await reconcile(key, signal);
    expect(w.calls).toHaveLength(2);
  });

  test('says Unknown before its first steps when it announces, and never again', async () => {
    const w = world(server());
    const reconcile = reconciler(w, { announces: true });
    await reconcile(key, signal);
    w.state.child = undefined;
    await reconcile(key, signal);
    expect(w.calls).toEqual([
      'status Ready=Unknown/FirstSeen Reconciling=True/Applying',
      'apply Service',
      'status Ready=True/Serving',
      'apply Service',
    ]);
  });

  test('waits for the cache to show its own write', async () => {
    const stale = server({ metadata: { resourceVersion: '90' } });
    const w = world(stale);
    const reconcile = reconciler(w, {}, () => stale);
    await reconcile(key, signal);
    expect(await reconcile(key, signal)).toEqual({ requeueAfterMs: 50 });
    expect(w.calls).toHaveLength(2);
  });

  test('reports what the API server refuses in the status, as stalled, and fails', async () => {
    const w = world(server());
    w.state.refuse = new KubeError('Invalid', 'apply services team-a/github-mcp: 422 Invalid: spec.ports');
    await expect(reconciler(w)(key, signal)).rejects.toThrow('spec.ports');
    expect(w.calls).toEqual(['status Ready=False/ApplyRejected Stalled=True/ApplyRejected']);
    expect(messageOf(w.state.object.status)).toMatch(/correct the spec.*spec\.ports/);
  });

  test('reports a missing right as something it tries again', async () => {
    const w = world(server());
    w.state.refuse = new KubeError('Forbidden', 'no');
    await expect(reconciler(w)(key, signal)).rejects.toThrow('no');
    expect(w.calls).toEqual(['status Ready=False/ApplyFailed Reconciling=True/ApplyFailed']);
  });

  test.each(['Unavailable', 'Conflict', 'NotLeader', 'Aborted', 'TooManyRequests'] as const)(
    'does not bother the user with %s',
    async (code) => {
      const w = world(server());
      w.state.refuse = new KubeError(code, 'later');
      await expect(reconciler(w)(key, signal)).rejects.toThrow('later');
      expect(w.calls).toEqual([]);
    },
  );

  test('stops at the first step that fails, so that a finalizer outlives a failed clean-up', async () => {
    const w = world(server());
    const reconcile = reconciler(w, {
      steps: () => [
        { kind: 'act', action: 'wave' },
        { kind: 'finalizers', finalizers: [] },
      ],
      act: () => Promise.reject(new Error('not destroyed')),
    });
    await expect(reconcile(key, signal)).rejects.toThrow('not destroyed');
    expect(w.calls).toEqual([]);
  });

  test('leaves an object of somebody else alone, and says whose name it wanted', async () => {
    const w = world(server());
    w.state.foreign = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'github-mcp', namespace: 'team-a' } };
    await expect(reconciler(w)(key, signal)).rejects.toThrow('belongs to somebody else');
    expect(w.calls).toEqual(['status Ready=False/NameTaken Stalled=True/NameTaken']);
    const ownerReferences = [{ apiVersion: 'v1', kind: 'McpServer', name: 'other', uid: 'uid-other' }];
    w.state.foreign = { ...w.state.foreign, metadata: { ...w.state.foreign.metadata, ownerReferences } };
    await expect(reconciler(w)(key, signal)).rejects.toThrow('belongs to somebody else');
  });

  test('goes on with an object of its own that lost our label', async () => {
    const w = world(server());
    const ownerReferences = [{ apiVersion: 'v1', kind: 'McpServer', name: 'github', uid: 'uid-github' }];
    const metadata = { name: 'github-mcp', namespace: 'team-a', ownerReferences };
    w.state.foreign = { apiVersion: 'v1', kind: 'Service', metadata };
    await reconciler(w)(key, signal);
    expect(w.calls).toEqual(['apply Service', 'status Ready=True/Serving']);
  });

  test('guards finalizers by uid and resourceVersion', async () => {
    const w = world(server({ metadata: { resourceVersion: '90' } }));
    await reconciler(w, { steps: () => [{ kind: 'finalizers', finalizers: ['a'] }] })(key, signal);
    expect(w.calls[0]).toBe('patch {"metadata":{"uid":"uid-github","resourceVersion":"90","finalizers":["a"]}}');
  });

  test('tells of bad news at once and of good news when it follows bad', async () => {
    const w = world(server());
    w.state.refuse = new KubeError('Forbidden', 'no');
    const reconcile = reconciler(w);
    await expect(reconcile(key, signal)).rejects.toThrow('no');
    await expect(reconcile(key, signal)).rejects.toThrow('no');
    w.state.refuse = undefined;
    await reconcile(key, signal);
    await reconcile(key, signal);
    expect(w.told.map(({ type, reason }) => `${type} ${reason}`)).toEqual(['Warning ApplyFailed', 'Normal Serving']);
  });

  test('comes back when the decision plans to, and forgets what is gone', async () => {
    const w = world(server());
    expect(await reconciler(w, { requeueAfterMs: 7_000 })(key, signal)).toEqual({ requeueAfterMs: 7_000 });
    expect(await reconciler(w)({ namespace: 'team-a', name: 'gone' }, signal)).toEqual({});
  });
});
