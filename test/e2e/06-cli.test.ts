import { describe, expect, inject, test } from 'vitest';
import { verifies } from '#test/requirements.ts';
import { apply, tryRun } from './support/cluster.ts';
import { callTool, mcpkeys, namespace, setKey, tokenOf } from './support/users.ts';
import { waitUntil } from './support/wait.ts';

const keys = inject('demoKeys');

describe('kubectl mcpkeys', () => {
  test(verifies('cli:commands'), async () => {
    const token = await tokenOf('bob');
    await setKey(token, keys.bob);
    const list = await mcpkeys(token, ['list']);
    expect(list.stdout).toMatch(/SERVER\s+STATE/u);
    expect(list.stdout).toMatch(/notes\s+🟢 Configured/u);
    const status = await mcpkeys(token, ['status', 'notes', '-o', 'json']);
    const parsed = JSON.parse(status.stdout) as { state: string; headers: { name: string; state: string }[] };
    expect(parsed.state).toBe('Configured');
    expect(parsed.headers).toEqual([expect.objectContaining({ name: 'Authorization', state: 'Configured' })]);
    expect(`${list.stdout}${status.stdout}`).not.toContain(keys.bob);
    const removed = await mcpkeys(token, ['delete', 'notes', '--yes']);
    expect(removed.status).toBe(0);
    expect((await mcpkeys(token, ['list'])).stdout).toMatch(/notes\s+🟡 Missing/u);
    await setKey(token, keys.bob);
    await waitUntil('the key', 3000, async () => (await callTool(token)).text.includes('bob@notes'));
  });

  test('works for an account that has no right but the role mcp-keyring-user', async () => {
    const metadata = { name: 'plain-user', namespace };
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'mcp-keyring-user' };
    const subjects = [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'plain-user' }];
    await apply({ apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding', metadata, roleRef, subjects });
    const asPlainUser = ['--as', 'plain-user', '--as-group', 'system:authenticated'];
    const token = await tokenOf('carol');
    const stored = await mcpkeys(token, ['set', 'notes', ...asPlainUser], keys.alice);
    expect(stored.stderr).toBe('');
    expect(stored.status).toBe(0);
    expect((await mcpkeys(token, ['delete', 'notes', '--yes', ...asPlainUser])).status).toBe(0);
    const stranger = await mcpkeys(token, ['list', '--as', 'stranger', '--as-group', 'system:authenticated']);
    expect(stranger.status).toBe(3);
    expect(stranger.stderr).toContain('mcp-keyring-user');
  });

  test('check-inject says why a workload gets the sidecar', async () => {
    const good = await tryRun(['kubectl', 'mcpkeys', 'check-inject', 'deploy/notes-mcp-server', '-n', namespace]);
    expect(good.stdout).toMatch(/a new pod gets the sidecar/u);
    expect(good.status).toBe(0);
    const bad = await tryRun(['kubectl', 'mcpkeys', 'check-inject', 'deploy/notes', '-n', namespace]);
    expect(bad.stdout).toContain('mcpkeyring.io/server');
    expect(bad.status).not.toBe(0);
  });

  test('an unknown server is answered with the nearest names', async () => {
    const outcome = await mcpkeys(await tokenOf('alice'), ['set', 'nots'], keys.alice);
    expect(outcome.status).not.toBe(0);
    expect(outcome.stderr).toMatch(/notes/u);
    expect(outcome.stderr).not.toContain(keys.alice);
  });

  test(verifies('cli:never-argv'), async () => {
    const outcome = await mcpkeys(await tokenOf('alice'), ['set', 'notes', 'my-secret-key']);
    expect(outcome.status).toBe(2);
    expect(outcome.stderr).toMatch(/never given on the command line/u);
  });

  test('an empty standard input stores nothing', async () => {
    const outcome = await mcpkeys(await tokenOf('carol'), ['set', 'notes'], '');
    expect(outcome.status).not.toBe(0);
    expect(outcome.stderr).toMatch(/empty|nothing/iu);
  });

  test('a token that no issuer of the organization gave is refused with a reason', async () => {
    const outcome = await mcpkeys('not-a-token', ['list']);
    expect(outcome.status).not.toBe(0);
    expect(outcome.stderr.trim()).not.toBe('');
  });
});
