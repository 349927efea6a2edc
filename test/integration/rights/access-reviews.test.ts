import { execFileSync } from 'node:child_process';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { createKubeClient } from '#operator/kube/api-client.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { createTransport } from '#operator/kube/transport.ts';
import { AccessReviews, type ClusterUser } from '#operator/rights/access-reviews.ts';
import { grantCommand } from '#operator/rights/grant-command.ts';
import { attributesOf, type Right } from '#operator/rights/verbs.ts';
import { type ControlPlane, startControlPlane } from '#test/support/control-plane.ts';
import { verifies } from '#test/requirements.ts';

import { renderText } from '../charts/helm.ts';

let plane: ControlPlane;
let client: KubeClient;
const ann: ClusterUser = { username: "ann o'hara", groups: ['staff', 'system:authenticated'] };
const use: Right = { verb: 'use', namespace: 'team-a', server: 'github' };

beforeAll(async () => {
  plane = await startControlPlane();
  await plane.installCrds();
  for (const namespace of ['mcp-keyring', 'team-a', 'team-b']) await plane.kubectl(['create', 'namespace', namespace]);
  await plane.kubectl(['apply', '--server-side', '-f', '-'], await renderText());
  client = createKubeClient({ transport: createTransport({ source: plane.source, userAgent: 'test' }) });
});

afterAll(async () => {
  await client.close();
  await plane[Symbol.asyncDispose]();
});

/** What `kubectl auth can-i` says to the user themselves. */
async function canI({ username, groups }: ClusterUser, right: Right): Promise<boolean> {
  const { verb, resource, group, name, namespace = '' } = attributesOf(right);
  const what = `${resource}.${group}${name === undefined ? '' : `/${name}`}`;
  const as = [`--as=${username}`, ...groups.map((member) => `--as-group=${member}`)];
  const answer = await plane.kubectl(['auth', 'can-i', verb, what, '-n', namespace, ...as]).catch(() => 'no');
  return answer.trim() === 'yes';
}

/** What both say; undefined: one says otherwise. */
async function both(user: ClusterUser, right: Right): Promise<boolean | undefined> {
  const operator = (await new AccessReviews(client).ask(user, right)) === 'allowed';
  return operator === (await canI(user, right)) ? operator : undefined;
}

/** The API server's own authorizer learns of roles and bindings some moments after they were written. */
const moments = { timeout: 10_000 };

/** As a shell splits them. */
function wordsOf(command: string): readonly string[] {
  const output = execFileSync('sh', ['-c', `printf '%s\\n' ${command}`], { encoding: 'utf8' });
  return output.trimEnd().split('\n');
}

test('the operator and kubectl auth can-i say the same, before and after the command of the refusal', async () => {
  verifies('rights:can-i');
  await expect.poll(() => both(ann, use), moments).toBe(false);
  await plane.kubectl(wordsOf(grantCommand(ann, use)).slice(1));
  await expect.poll(() => both(ann, use), moments).toBe(true);
  await expect.poll(() => both(ann, { ...use, namespace: 'team-b' }), moments).toBe(false);
  await expect.poll(() => both(ann, { ...use, verb: 'revoke' }), moments).toBe(false);
  await expect.poll(() => both(ann, { ...use, verb: 'approve' }), moments).toBe(false);
  await expect.poll(() => both({ username: 'bob', groups: ['staff'] }, use), moments).toBe(false);
  await plane.kubectl(['delete', 'rolebindings', '-n', 'team-a', '--all']);
  await expect.poll(() => both(ann, use), moments).toBe(false);
});

test('a right on one server is none on another', async () => {
  verifies('rights:can-i');
  const role = {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata: { name: 'github-only', namespace: 'team-b' },
    rules: [{ apiGroups: ['mcpkeyring.io'], resources: ['mcpservers'], resourceNames: ['github'], verbs: ['use'] }],
  };
  await plane.kubectl(['apply', '-f', '-'], JSON.stringify(role));
  await plane.kubectl(['create', 'rolebinding', 'staff', '-n', 'team-b', '--role=github-only', '--group=staff']);
  await expect.poll(() => both(ann, { ...use, namespace: 'team-b' }), moments).toBe(true);
  await expect.poll(() => both(ann, { ...use, namespace: 'team-b', server: 'jira' }), moments).toBe(false);
  await expect.poll(() => both(ann, { verb: 'use', namespace: 'team-b' }), moments).toBe(false);
});

test('an operator that may not ask gets no yes', async () => {
  verifies('rights:unanswered');
  const source = async () => ({ ...(await plane.source()), clientCertificate: undefined, token: 'nobody' }) as never;
  const stranger = createKubeClient({ transport: createTransport({ source, userAgent: 'test' }) });
  const admin: ClusterUser = { username: 'root', groups: ['system:masters'] };
  expect(await new AccessReviews(stranger).ask(admin, use)).toBe('unknown');
  await stranger.close();
  expect(await new AccessReviews(client).ask(admin, use)).toBe('allowed');
});
