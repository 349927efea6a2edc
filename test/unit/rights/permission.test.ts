import { describe, expect, test } from 'vitest';

import { AccessReviews, type AccessVerdict } from '#operator/rights/access-reviews.ts';
import { describeRight, grantCommand } from '#operator/rights/grant-command.ts';
import { grantedOf, permissionFor } from '#operator/rights/permission.ts';
import type { Right } from '#operator/rights/verbs.ts';
import { KubeError } from '#operator/kube/errors.ts';
import { verifies } from '#test/requirements.ts';

const alice = { username: 'alice', groups: ['staff'] };
const use = (server: string): Right => ({ verb: 'use', namespace: 'team-a', server });

/** An API server that has `verdictOf` to say. */
function reviews(verdictOf: (server: string | undefined) => AccessVerdict) {
  const asked: (string | undefined)[] = [];
  const ask = (_: unknown, { server }: Right): Promise<AccessVerdict> => {
    asked.push(server);
    return Promise.resolve(verdictOf(server));
  };
  return { asked, ask };
}

describe('permission for several servers', () => {
  test('takes one question where the right is there on the whole namespace', async () => {
    const api = reviews(() => 'allowed');
    expect(await permissionFor(api, alice, ['a', 'b', 'c'].map(use))).toEqual({ kind: 'granted' });
    expect(api.asked).toEqual([undefined]);
  });

  test('is refused for the first server on which the right is missing', async () => {
    const api = reviews((server) => (server === 'a' ? 'allowed' : 'denied'));
    expect(await permissionFor(api, alice, ['a', 'b', 'c'].map(use))).toEqual({ kind: 'missing', right: use('b') });
  });

  test('is unknown as soon as one question has no answer, whatever the others say', async () => {
    verifies('rights:unanswered');
    const api = reviews((server) => (server === 'c' ? 'unknown' : 'denied'));
    expect(await permissionFor(api, alice, ['a', 'b', 'c'].map(use))).toEqual({ kind: 'unknown', right: use('c') });
    expect(await grantedOf(api, alice, ['a', 'c'].map(use))).toBe('unknown');
    expect(
      await permissionFor(
        reviews(() => 'unknown'),
        alice,
        ['a', 'b'].map(use),
      ),
    ).toMatchObject({ kind: 'unknown' });
  });

  test('counts as missing for those past the two hundred that are asked about', async () => {
    const rights = Array.from({ length: 300 }, (_, index) => use(`server-${index}`));
    const api = reviews((server) => (server === undefined ? 'denied' : 'allowed'));
    expect(await grantedOf(api, alice, rights)).toHaveLength(200);
    expect(await permissionFor(api, alice, rights)).toEqual({ kind: 'missing', right: use('server-200') });
    expect(api.asked).toHaveLength(402);
  });

  test('of nothing needs no question', async () => {
    const api = reviews(() => 'denied');
    expect(await permissionFor(api, alice, [])).toEqual({ kind: 'granted' });
    expect(api.asked).toEqual([]);
  });
});

describe('a question to the API server', () => {
  const answering = (status: object | undefined) => {
    const sent: object[] = [];
    const client = {
      review: (_: unknown, object: object) => {
        sent.push(object);
        return Promise.resolve((status === undefined ? {} : { status }) as never);
      },
    };
    return { sent, reviews: new AccessReviews(client) };
  };

  test('is about the user exactly as the API server knew them', async () => {
    const { sent, reviews: asking } = answering({ allowed: true });
    const extra = { 'scopes.example.com': ['read'] };
    expect(await asking.ask({ ...alice, uid: 'u-1', extra }, use('github'))).toBe('allowed');
    const resourceAttributes = {
      group: 'mcpkeyring.io',
      resource: 'mcpservers',
      verb: 'use',
      namespace: 'team-a',
      name: 'github',
    };
    expect(sent).toEqual([
      { metadata: {}, spec: { user: 'alice', uid: 'u-1', groups: ['staff'], extra, resourceAttributes } },
    ]);
  });

  test.each([[undefined], [{}], [{ allowed: false }], [{ allowed: 'true' }], [{ denied: false }]])(
    'that is answered with %j is not allowed',
    async (status) => {
      expect(await answering(status).reviews.ask(alice, use('github'))).toBe('denied');
    },
  );

  test.each(['Unavailable', 'Timeout', 'Forbidden', 'TooManyRequests', 'BadResponse', 'Aborted'] as const)(
    'that ends with %s is unknown, never allowed',
    async (code) => {
      verifies('rights:unanswered');
      const asking = new AccessReviews({ review: () => Promise.reject(new KubeError(code, 'no answer')) });
      expect(await asking.ask(alice, use('github'))).toBe('unknown');
    },
  );

  test('is left to the next leader by one that leads no more', async () => {
    const asking = new AccessReviews({ review: () => Promise.reject(new KubeError('NotLeader', 'no leader')) });
    await expect(asking.ask(alice, use('github'))).rejects.toMatchObject({ code: 'NotLeader' });
  });
});

describe('the command that gives a right', () => {
  test.each([
    ['alice', `--user 'alice'`],
    ["o'brien; rm -rf /", String.raw`--user 'o'\''brien; rm -rf /'`],
    ['system:serviceaccount:team-a:bot', '--serviceaccount team-a:bot'],
    ['ev\u001b[2Jil', '--user <name>'],
    ['two\nlines', '--user <name>'],
    ['a'.repeat(257), '--user <name>'],
  ])('names %j so that a shell takes it for one name', (username, flag) => {
    expect(grantCommand({ username }, use('github'))).toMatch(
      /^kubectl create rolebinding mcp-keyring-user-[0-9a-f]{8} -n team-a --clusterrole mcp-keyring-user /u,
    );
    expect(grantCommand({ username }, use('github')).endsWith(flag)).toBe(true);
  });

  test('is that of the role that has the verb', () => {
    expect(grantCommand(alice, { verb: 'revoke', namespace: 'team-a' })).toContain('--clusterrole mcp-keyring-admin');
    expect(describeRight(use('github'))).toBe('use mcpservers.mcpkeyring.io/github in namespace team-a');
    expect(describeRight({ verb: 'approve', namespace: 'team-a' })).toBe(
      'approve mcpservers.mcpkeyring.io in namespace team-a',
    );
  });
});
