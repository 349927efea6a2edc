import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, inject, test } from 'vitest';
import { verifies } from '#test/requirements.ts';
import { clusterIpOf, kubectl, kubectlJson, run, tryRun } from './support/cluster.ts';
import { callTool, mcpkeys, namespace, postToolCall, server, setKey, tokenOf } from './support/users.ts';
import { waitUntil } from './support/wait.ts';

const keys = inject('demoKeys');

interface AuditLine {
  readonly audit: {
    readonly type: string;
    readonly at: string;
    readonly rpcId?: string;
    readonly decision?: string;
    readonly tool?: string;
    readonly subject?: { readonly id: string };
  };
}

async function auditEvents(): Promise<readonly AuditLine['audit'][]> {
  const logs = await kubectl('-n', 'mcp-keyring', 'logs', '-l', 'app.kubernetes.io/component=operator', '--tail=-1');
  return logs
    .split('\n')
    .filter((line) => line.startsWith('{"audit":'))
    .map((line) => (JSON.parse(line) as AuditLine).audit);
}

interface PodList {
  readonly items: {
    readonly metadata: { readonly name: string; readonly namespace: string };
    readonly spec: {
      readonly containers: { readonly name: string }[];
      readonly initContainers?: { readonly name: string }[];
    };
  }[];
}

interface Place {
  readonly who: string;
  readonly text: string;
}

/** Everything that any container has logged, the run before a restart included, with the name of who logged it. */
async function allLogs(): Promise<readonly Place[]> {
  const { items } = await kubectlJson<PodList>('get', 'pods', '-A', '--field-selector=status.phase=Running');
  const containers = items.flatMap(({ metadata, spec }) =>
    [...spec.containers, ...(spec.initContainers ?? [])].map((container) => ({
      ...metadata,
      container: container.name,
    })),
  );
  const logs: Place[] = [];
  for (const { namespace: ns, name, container } of containers) {
    const who = `${ns}/${name}/${container}`;
    logs.push({ who, text: await kubectl('-n', ns, 'logs', name, '-c', container, '--tail=-1') });
    const before = await tryRun(['kubectl', '-n', ns, 'logs', name, '-c', container, '--tail=-1', '--previous']);
    logs.push({ who: `${who}, before its restart`, text: before.stdout });
  }
  return logs;
}

/** What Prometheus would read from the operator's replicas and from the sidecar. */
async function allMetrics(): Promise<readonly Place[]> {
  const [operators, sidecars] = await Promise.all([
    kubectlJson<PodList>('-n', 'mcp-keyring', 'get', 'pods', '-l', 'app.kubernetes.io/component=operator'),
    kubectlJson<PodList>(
      '-n',
      namespace,
      'get',
      'pods',
      '-l',
      'mcpkeyring.io/server=notes',
      '--field-selector=status.phase=Running',
    ),
  ]);
  const targets = [
    ...operators.items.map(({ metadata }) => ({ ...metadata, port: 8080 })),
    ...sidecars.items.map(({ metadata }) => ({ ...metadata, port: 15_082 })),
  ];
  return Promise.all(
    targets.map(async ({ namespace: ns, name, port }) => ({
      who: `metrics of ${name}`,
      text: await kubectl('get', '--raw', `/api/v1/namespaces/${ns}/pods/${name}:${port}/proxy/metrics`),
    })),
  );
}

/** The audit databases of all replicas and etcd's own files, byte for byte. */
async function filesOnDisk(): Promise<readonly Place[]> {
  const read = [
    'find',
    '/var/lib/kubelet/pods',
    '-path',
    '*/volumes/kubernetes.io~empty-dir/audit/*',
    '-type',
    'f',
    '-exec',
    'cat',
    '{}',
    '+',
  ];
  return [{ who: 'audit databases', text: await run(['test/lab/lab', 'node', '--', ...read], '', 'latin1') }];
}

/** A key as text, in each of the three alignments of base64, in hex, and percent-encoded. */
function spellings(key: string): readonly string[] {
  const aligned = [0, 1, 2].map((shift) =>
    Buffer.from(`${'x'.repeat(shift)}${key}`)
      .toString('base64')
      .slice(shift === 0 ? 0 : 4, -4),
  );
  return [key, ...aligned, Buffer.from(key).toString('hex'), encodeURIComponent(key)];
}

describe('audit', () => {
  test(verifies('audit:exactly-one'), async () => {
    const prefix = randomBytes(4).toString('hex');
    const [address, alice, carol] = await Promise.all([
      clusterIpOf(namespace, 'notes-mcp'),
      tokenOf('alice'),
      tokenOf('carol'),
    ]);
    await setKey(alice, keys.alice);
    const ids = Array.from({ length: 40 }, (_, index) => `${prefix}-${index}`);
    const startedAt = new Date();
    const statuses = await Promise.all(
      ids.map(async (id, index) => {
        const token = [alice, carol, undefined][index % 3];
        return (await postToolCall({ address, id, ...(token === undefined ? {} : { token }) })).status;
      }),
    );
    expect(new Set(statuses)).toEqual(new Set([200, 401]));
    const since = startedAt.toISOString();
    const { named, strangers } = await waitUntil('an audit event for every request', 10_000, async () => {
      const events = (await auditEvents()).filter((event) => event.type === 'request' && event.at >= since);
      const found = {
        named: events.filter((event) => event.rpcId?.startsWith(prefix) === true),
        // A stranger's message is not read, so their events carry no id.
        strangers: events.filter((event) => event.decision === 'unauthenticated'),
      };
      return found.named.length + found.strangers.length >= ids.length ? found : undefined;
    });
    const known = ids.filter((_id, index) => index % 3 !== 2);
    expect(named.map((event) => event.rpcId).toSorted()).toEqual(known.toSorted());
    expect(strangers).toHaveLength(ids.length - known.length);
    expect(new Set(named.map((event) => event.decision))).toEqual(new Set(['forwarded', 'keyMissing']));
    const forwarded = named.filter((event) => event.decision === 'forwarded');
    expect(forwarded.every((event) => event.subject?.id === 'alice' && event.tool === 'whoami')).toBe(true);
  });

  test(verifies('keys:no-leak'), async () => {
    // A key that only this test knows: the notes API answers 401 to it, so every error path has seen it too.
    const key = `leak_${randomBytes(24).toString('hex')}`;
    const token = await tokenOf('dave');
    await setKey(token, key);
    const answer = await callTool(token);
    expect(answer.text).not.toContain(key);
    await mcpkeys(token, ['status', server]);
    await mcpkeys(token, ['delete', server, '--yes']);
    const places = [
      ...(await allLogs()),
      ...(await allMetrics()),
      ...(await filesOnDisk()),
      { who: 'events', text: await kubectl('get', 'events', '-A', '-o', 'yaml') },
      {
        who: 'our resources',
        text: await kubectl('get', 'mcpservers,userkeypolicies,userkeys,userkeyrequests', '-A', '-o', 'yaml'),
      },
      { who: 'sealed secrets', text: await kubectl('-n', 'mcp-keyring-keys', 'get', 'secrets', '-o', 'yaml') },
    ];
    const apiAudit = { who: "API server's audit log", text: readFileSync(process.env['LAB_AUDIT_LOG'] ?? '', 'utf8') };
    expect(places.some(({ who, text }) => who.includes('operator') && text.includes('key.set'))).toBe(true);
    expect(
      places.some(({ who, text }) => who.startsWith('metrics of notes') && text.includes('mcpkeyring_requests_total')),
    ).toBe(true);
    expect(places.some(({ who, text }) => who === 'audit databases' && text.includes('key.set'))).toBe(true);
    expect(apiAudit.text).toContain('userkeyrequests');
    // The demo's own notes API has alice's and bob's keys in a plain Secret, so the API server has seen them there.
    const searches = [
      { keys: [key], places: [...places, apiAudit] },
      { keys: [keys.alice, keys.bob], places },
    ];
    for (const search of searches) {
      for (const { who, text } of search.places) {
        for (const needle of search.keys.flatMap(spellings))
          expect(text.includes(needle), `${who} holds a key`).toBe(false);
      }
    }
  });
});
