import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, inject, test } from 'vitest';
import { verifies } from '#test/requirements.ts';
import { clusterIpOf, kubectl, kubectlJson } from './support/cluster.ts';
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

/** Everything that any container has logged, with the name of who logged it. */
async function allLogs(): Promise<readonly { readonly who: string; readonly text: string }[]> {
  const { items } = await kubectlJson<PodList>('get', 'pods', '-A');
  const containers = items.flatMap(({ metadata, spec }) =>
    [...spec.containers, ...(spec.initContainers ?? [])].map((container) => ({
      ...metadata,
      container: container.name,
    })),
  );
  const logs: { who: string; text: string }[] = [];
  for (const { namespace: ns, name, container } of containers) {
    const text = await kubectl('-n', ns, 'logs', name, '-c', container, '--tail=-1').catch(() => '');
    logs.push({ who: `${ns}/${name}/${container}`, text });
  }
  return logs;
}

describe('audit', () => {
  test(verifies('audit:exactly-one'), async () => {
    const run = randomBytes(4).toString('hex');
    const [address, alice, carol] = await Promise.all([
      clusterIpOf(namespace, 'notes-mcp'),
      tokenOf('alice'),
      tokenOf('carol'),
    ]);
    await setKey(alice, keys.alice);
    const ids = Array.from({ length: 40 }, (_, index) => `${run}-${index}`);
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
        named: events.filter((event) => event.rpcId?.startsWith(run) === true),
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
    const needles = [key, Buffer.from(key).toString('base64').slice(0, 40)];
    const places = [
      ...(await allLogs()),
      { who: 'events', text: await kubectl('get', 'events', '-A', '-o', 'yaml') },
      {
        who: 'our resources',
        text: await kubectl('get', 'mcpservers,userkeypolicies,userkeys,userkeyrequests', '-A', '-o', 'yaml'),
      },
      { who: 'sealed secrets', text: await kubectl('-n', 'mcp-keyring-keys', 'get', 'secrets', '-o', 'yaml') },
      { who: "API server's audit log", text: readFileSync(process.env['LAB_AUDIT_LOG'] ?? '', 'utf8') },
    ];
    expect(places.some(({ who, text }) => who.includes('operator') && text.includes('key.set'))).toBe(true);
    expect(places.find(({ who }) => who.includes('audit log'))?.text).toContain('userkeyrequests');
    for (const { who, text } of places) {
      for (const needle of needles) expect(text.includes(needle), `${who} holds the key`).toBe(false);
    }
  });
});
