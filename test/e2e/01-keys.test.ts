import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, inject, test } from 'vitest';
import { verifies } from '#test/requirements.ts';
import { apply, clusterIpOf, kubectl, kubectlJson } from './support/cluster.ts';
import { callTool, mcpkeys, namespace, postToolCall, server, setKey, tokenOf } from './support/users.ts';
import { waitUntil } from './support/wait.ts';

const keyNamespace = 'mcp-keyring-keys';
const keys = inject('demoKeys');

interface Secret {
  readonly apiVersion: string;
  readonly kind: string;
  readonly type: string;
  readonly metadata: {
    readonly name: string;
    readonly labels: Record<string, string>;
    readonly annotations: Record<string, string>;
  };
  readonly data: Record<string, string>;
}

interface UserKey {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly subject: { readonly id: string } };
  readonly status?: { readonly state?: string };
}

async function userKeyOf(id: string): Promise<UserKey | undefined> {
  const { items } = await kubectlJson<{ items: UserKey[] }>('-n', namespace, 'get', 'userkeys');
  return items.find((item) => item.spec.subject.id === id);
}

async function secretOf(id: string): Promise<Secret> {
  const userKey = await userKeyOf(id);
  const { items } = await kubectlJson<{ items: Secret[] }>('-n', keyNamespace, 'get', 'secrets');
  const found = items.find((item) => item.metadata.annotations['mcpkeyring.io/user-key'] === userKey?.metadata.name);
  if (found === undefined) throw new Error(`no sealed Secret for ${id}`);
  return found;
}

/** Calls for longer than a sidecar that missed every event would keep what it has; resolves the last answer. */
async function neverUsed(account: string, token: string): Promise<string> {
  const address = await clusterIpOf(namespace, `${server}-mcp`);
  const endsAtMs = performance.now() + 12_000;
  for (;;) {
    const { body } = await postToolCall({ address, token, id: 'put-back' });
    expect(body).not.toContain(account);
    if (performance.now() > endsAtMs) return body;
    await delay(250);
  }
}

describe('user keys', () => {
  test(verifies('keys:missing'), async () => {
    const answer = await callTool(await tokenOf('carol'));
    expect(answer.isError).toBe(true);
    expect(answer.text).toContain('Authorization');
    expect(answer.text).toContain('kubectl mcpkeys set notes');
  });

  test(verifies('keys:two-users'), async () => {
    const [alice, bob] = await Promise.all([tokenOf('alice'), tokenOf('bob')]);
    await setKey(alice, keys.alice);
    await setKey(bob, keys.bob);
    expect(await callTool(alice)).toEqual({ isError: false, text: '{"account":"alice@notes"}' });
    expect(await callTool(bob)).toEqual({ isError: false, text: '{"account":"bob@notes"}' });
    expect((await callTool(alice, 'list_notes')).text).toContain('buy milk');
    await waitUntil(
      'status of the UserKey',
      5000,
      async () => (await userKeyOf('alice'))?.status?.state === 'Configured',
    );
  });

  test(verifies('keys:changed'), async () => {
    const token = await tokenOf('alice');
    await setKey(token, keys.alice);
    expect((await callTool(token)).text).toContain('alice@notes');
    await setKey(token, keys.bob);
    const changedAt = performance.now();
    await waitUntil('the changed key', 2000, async () => (await callTool(token)).text.includes('bob@notes'));
    expect(performance.now() - changedAt).toBeLessThan(2000);
    await setKey(token, keys.alice);
    await waitUntil('the first key again', 2000, async () => (await callTool(token)).text.includes('alice@notes'));
  });

  test(verifies('keys:deleted'), async () => {
    const token = await tokenOf('bob');
    await setKey(token, keys.bob);
    const sealed = await secretOf('bob');
    await waitUntil('the key in use', 2000, async () => (await callTool(token)).text.includes('bob@notes'));
    expect((await mcpkeys(token, ['delete', server, '--yes'])).status).toBe(0);
    await waitUntil('the end of the key', 2000, async () => (await callTool(token)).isError);
    await waitUntil('the end of the sealed Secret and its UserKey', 5000, async () => {
      const { items } = await kubectlJson<{ items: Secret[] }>('-n', keyNamespace, 'get', 'secrets');
      const left = items.some(({ metadata }) => metadata.name === sealed.metadata.name);
      return !left && (await userKeyOf('bob')) === undefined;
    });
    await setKey(token, keys.bob);
  });

  test(verifies('keys:copied-secret'), async () => {
    const token = await tokenOf('bob');
    await setKey(token, keys.bob);
    await waitUntil("bob's own key", 2000, async () => (await callTool(token)).text.includes('bob@notes'));
    const [alices, bobs] = await Promise.all([secretOf('alice'), secretOf('bob')]);
    await apply({
      apiVersion: 'v1',
      kind: 'Secret',
      type: bobs.type,
      metadata: { name: bobs.metadata.name, namespace: keyNamespace },
      data: alices.data,
    });
    const answer = await waitUntil('the answer that the key cannot be read', 3000, async () => {
      const { body } = await postToolCall({ address: await clusterIpOf(namespace, 'notes-mcp'), token, id: 'copied' });
      return body.includes('cannot be read') ? body : undefined;
    });
    expect(answer).not.toContain('alice@notes');
    await setKey(token, keys.bob);
    await waitUntil("bob's key after he set it again", 2000, async () =>
      (await callTool(token)).text.includes('bob@notes'),
    );
  });

  test(verifies('keys:destroyed'), async () => {
    const token = await tokenOf('bob');
    const putBack = ({ type, metadata: { name, labels, annotations }, data }: Secret): Promise<void> => {
      const metadata = { name, namespace: keyNamespace, labels, annotations };
      return apply({ apiVersion: 'v1', kind: 'Secret', type, metadata, data });
    };
    // Alice's key stands for one that bob has leaked, so that the answer tells which of his two was used.
    await setKey(token, keys.alice);
    await waitUntil('the leaked key', 2000, async () => (await callTool(token)).text.includes('alice@notes'));
    const leaked = await secretOf('bob');
    expect((await mcpkeys(token, ['delete', server, '--yes'])).status).toBe(0);
    await waitUntil('the end of the UserKey', 5000, async () => (await userKeyOf('bob')) === undefined);
    await waitUntil('the end of the leaked key', 2000, async () => (await callTool(token)).isError);

    await putBack(leaked);
    expect(await neverUsed('alice@notes', token)).not.toContain('bob@notes');
    await setKey(token, keys.bob);
    await waitUntil("bob's new key", 2000, async () => (await callTool(token)).text.includes('bob@notes'));
    await putBack(leaked);
    expect(await neverUsed('alice@notes', token)).not.toContain('bob@notes');
    await setKey(token, keys.bob);
    await waitUntil("bob's key after he set it again", 2000, async () =>
      (await callTool(token)).text.includes('bob@notes'),
    );
  });

  test(verifies('identity:service-account'), async () => {
    await apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'robot', namespace } });
    const token = (await kubectl('-n', namespace, 'create', 'token', 'robot', '--audience', 'mcp-keyring')).trim();
    await setKey(token, keys.bob);
    await waitUntil('the key of the ServiceAccount', 2000, async () =>
      (await callTool(token)).text.includes('bob@notes'),
    );
    expect(await userKeyOf(`system:serviceaccount:${namespace}:robot`)).toBeDefined();
  });

  test('the sealed Secret holds ciphertext whose every byte differs between two writes of one key', async () => {
    const token = await tokenOf('alice');
    const first = await secretOf('alice');
    await setKey(token, keys.alice);
    const second = await waitUntil('a new version', 3000, async () => {
      const found = await secretOf('alice');
      return found.data['ciphertext'] === first.data['ciphertext'] ? undefined : found;
    });
    expect(Object.keys(second.data).toSorted()).toEqual(['ciphertext', 'header']);
    const sha = (text: string | undefined): string =>
      createHash('sha256')
        .update(text ?? '')
        .digest('hex');
    expect(sha(second.data['header'])).not.toBe(sha(first.data['header']));
  });

  test('keys that cannot be header values are refused with what to do, and nothing is stored', async () => {
    const token = await tokenOf('carol');
    for (const bad of ['two\nlines', 'nul\0byte', '   ', 'k'.repeat(8193)]) {
      const outcome = await mcpkeys(token, ['set', server], bad);
      expect(outcome.status).not.toBe(0);
      expect(outcome.stderr).toMatch(/Invalid API key format/u);
      expect(outcome.stderr).not.toContain(bad.trim() === '' ? '\0' : bad);
    }
    expect(await userKeyOf('carol')).toBeUndefined();
  });

  test('a prefix typed by mistake is understood', async () => {
    const token = await tokenOf('dave');
    const key = `dave_${randomBytes(12).toString('hex')}`;
    const outcome = await mcpkeys(token, ['set', server], `Bearer ${key}\n`);
    expect(outcome.status).toBe(0);
    expect(`${outcome.stdout}${outcome.stderr}`).toMatch(/Bearer/u);
    expect(`${outcome.stdout}${outcome.stderr}`).not.toContain(key);
  });
});
