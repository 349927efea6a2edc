import { beforeEach, describe, expect, test, vi } from 'vitest';

import { askOperator } from '#cli/ask-operator.ts';
import { revoke, type RevokeOptions } from '#cli/commands/revoke.ts';
import { CliError } from '#cli/errors.ts';
import { parseOptions } from '#cli/options.ts';

import { worldAtTerminal } from './terminal.ts';

vi.mock('#cli/ask-operator.ts');
const operator = vi.mocked(askOperator);

describe('kubectl mcpkeys revoke', () => {
  const command = (...argv: string[]) => parseOptions(['revoke', ...argv]).command;
  const fingerprint = `fp-${'a'.repeat(26)}`;

  test.each([
    [['notes'], { server: 'notes', whose: { kind: 'own' } }],
    [['notes', '--user', 'alice'], { server: 'notes', whose: { kind: 'user', user: 'alice' } }],
    [['--user', 'alice'], { server: undefined, whose: { kind: 'user', user: 'alice' } }],
    [['notes', '--all-users', '-y'], { server: 'notes', whose: { kind: 'everybody' }, assumeYes: true }],
    [['--leaked', '-A'], { server: undefined, whose: { kind: 'leaked' } }],
    [['--fingerprint', fingerprint], { whose: { kind: 'fingerprint', fingerprint } }],
    [['notes', '--reason', 'lost'], { reason: 'lost' }],
  ])('takes %j', (argv, expected) => {
    expect(command(...argv)).toMatchObject({ name: 'revoke', ...expected });
  });

  test.each([
    [[]],
    [['--all-users']],
    [['notes', '--all-users', '--user', 'alice']],
    [['notes', 'ghp_secret']],
    [['notes', '-A']],
    [['notes', '--leaked', '-A']],
    [['--fingerprint', 'ghp_secret']],
    [['notes', '--reason', '']],
    [['notes', '--reason', 'x'.repeat(257)]],
  ])('says what is wrong with %j, and repeats no value', (argv) => {
    try {
      command(...argv);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: 'Usage' });
      expect(JSON.stringify([(error as CliError).message, (error as CliError).hints])).not.toContain('ghp_secret');
    }
  });

  test('names a user of keys by --user, and not a user of the kubeconfig', () => {
    expect(parseOptions(['revoke', 'notes', '--user', 'alice', '--context', 'x']).kubectlFlags).toEqual([
      '--context=x',
    ]);
    expect(parseOptions(['list', '--user', 'alice']).kubectlFlags).toEqual(['--user=alice']);
  });
});

const answer = {
  v: 1,
  outcome: 'ok',
  operation: 'revoke',
  subject: { issuer: 'kubernetes', name: 'root' },
  revoked: [{ server: 'notes', user: { issuer: 'kubernetes', name: 'alice' }, version: 7 }],
  more: 0,
  leftOut: [],
  unread: 0,
} as const;

function options(change: Partial<RevokeOptions> = {}): RevokeOptions {
  const piped = (async function* () {
    yield Buffer.from('ghp_leaked');
  })();
  return {
    server: undefined,
    whose: { kind: 'leaked' },
    reason: undefined,
    scope: { namespaces: ['team-a', 'team-b'], everywhere: true },
    assumeYes: true,
    source: { kind: 'pipe', input: piped },
    ...change,
  };
}

describe('revoking by a leaked value', () => {
  const values: string[] = [];

  beforeEach(() => {
    operator.mockReset();
    values.length = 0;
    operator.mockImplementation((_, { headers }) => {
      values.push(...headers.map(({ value }) => Buffer.from(value).toString()));
      return Promise.resolve(answer as never);
    });
  });

  test('sends it sealed to each namespace, prints whose keys it was, and zeroes it', async () => {
    const terminal = worldAtTerminal();
    expect(await revoke(terminal, options())).toBe(true);
    expect(values).toEqual(['ghp_leaked', 'ghp_leaked']);
    expect(terminal.printed.join()).toMatch(/team-b +notes +alice \(Kubernetes\) +7/u);
    const [, order] = operator.mock.calls[0]!;
    expect(order.control).toEqual({ v: 1, operation: 'revoke', whose: 'everybody' });
    expect(order.headers[0]!.value.every((byte) => byte === 0)).toBe(true);
    expect(JSON.stringify([terminal.printed, terminal.said])).not.toContain('ghp_leaked');
  });

  test('goes on after a namespace that refuses, and does not call that done', async () => {
    operator.mockRejectedValueOnce(new CliError('Refused', 'You lack the right'));
    const terminal = worldAtTerminal();
    expect(await revoke(terminal, options())).toBe(false);
    expect(terminal.said.join()).toContain('team-a is left out: You lack the right');
    expect(terminal.printed.join()).toContain('team-b');
  });

  test('says which servers it did not look at', async () => {
    operator.mockResolvedValue({ ...answer, leftOut: ['jira'], unread: 2 });
    const terminal = worldAtTerminal();
    expect(await revoke(terminal, options({ scope: { namespaces: ['team-a'], everywhere: false } }))).toBe(false);
    expect(terminal.said.join()).toContain('jira');
    expect(terminal.said.join()).toContain('2 keys in team-a do not open');
  });

  test('does nothing without a yes', async () => {
    await expect(revoke(worldAtTerminal(), options({ assumeYes: false }))).rejects.toThrow('give --yes');
    expect(operator).not.toHaveBeenCalled();
  });
});
