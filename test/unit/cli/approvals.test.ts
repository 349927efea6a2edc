import { beforeEach, describe, expect, test, vi } from 'vitest';

import { askOperator } from '#cli/ask-operator.ts';
import { approvalCommand } from '#cli/commands/approvals.ts';
import { CliError } from '#cli/errors.ts';
import { parseOptions } from '#cli/options.ts';
import { parseControl } from '#cli/contract/request-control.ts';

import { worldAtTerminal } from './terminal.ts';

vi.mock('#cli/ask-operator.ts');
const operator = vi.mocked(askOperator);
const command = (...argv: string[]) => parseOptions(argv).command;

describe('the commands about approval', () => {
  test.each([
    [['request', 'notes'], { name: 'request', server: 'notes', reason: undefined }],
    [['request', 'notes', '--reason', 'on call'], { reason: 'on call' }],
    [['approvals'], { name: 'approvals', server: undefined }],
    [['approvals', 'notes'], { server: 'notes' }],
    [
      ['approve', 'notes', '--user', '42', '--until', '30d'],
      { user: '42', end: { kind: 'after', seconds: 2_592_000 } },
    ],
    [
      ['approve', 'notes', '--user', '42', '--until', '2027-01-31'],
      { end: { kind: 'at', at: '2027-01-31T00:00:00.000Z' } },
    ],
    [['refuse', 'notes', '--user', '42', '--reason', 'no'], { name: 'refuse', user: '42', reason: 'no' }],
  ])('take %j', (argv, expected) => {
    expect(command(...argv)).toMatchObject(expected);
  });

  test.each([
    [['request'], 'give a server'],
    [['approve', 'notes'], '--user'],
    [['approve', 'notes', '--user', '42', '--until', 'soon'], '--until soon'],
    [['refuse', 'notes', '--user', '42'], '--reason'],
    [['refuse', 'notes', '--user', '42', '--reason', ''], '--reason'],
    [['request', 'notes', '--reason', 'x'.repeat(257)], '--reason'],
    [['request', 'notes', 'ghp_secret'], 'takes one argument'],
  ])('say what is wrong with %j', (argv, message) => {
    expect(() => command(...argv)).toThrow(message);
  });

  test('name a user of keys by --user, and not a user of the kubeconfig', () => {
    for (const name of ['approve', 'refuse']) {
      expect(parseOptions([name, 'notes', '--user', '42', '--reason', 'r']).kubectlFlags).toEqual([]);
    }
    expect(parseOptions(['request', 'notes', '--user', 'me']).kubectlFlags).toEqual(['--user=me']);
  });
});

describe('an order about approval', () => {
  const read = (control: object) => parseControl(Buffer.from(JSON.stringify({ v: 1, ...control })));

  test.each([
    [{ operation: 'approval-request', server: 'notes', reason: 'on call', token: 't' }],
    [{ operation: 'approval-list' }],
    [{ operation: 'approval-list', server: 'notes' }],
    [{ operation: 'approval-grant', server: 'notes', user: 'https://idp.example.com/42', lifeSeconds: 60 }],
    [{ operation: 'approval-grant', server: 'notes', user: '42', until: '2027-01-31T00:00:00.000Z', reason: 'r' }],
    [{ operation: 'approval-refuse', server: 'notes', user: '42', reason: 'r' }],
  ])('is read as it was written: %j', (control) => {
    expect(read(control)).toEqual({ v: 1, ...control });
  });

  test.each([
    [{ operation: 'approval-request' }],
    [{ operation: 'approval-request', server: 'notes', user: 'other' }],
    [{ operation: 'approval-list', server: 7 }],
    [{ operation: 'approval-grant', server: 'notes' }],
    [{ operation: 'approval-grant', server: 'notes', user: '42', lifeSeconds: 0 }],
    [{ operation: 'approval-grant', server: 'notes', user: '42', lifeSeconds: 1.5 }],
    [{ operation: 'approval-grant', server: 'notes', user: '42', until: '2027-02-30T00:00:00.000Z' }],
    [{ operation: 'approval-grant', server: 'notes', user: '42', until: '2027-01-31T00:00:00.000Z', lifeSeconds: 1 }],
    [{ operation: 'approval-refuse', server: 'notes', user: '42' }],
    [{ operation: 'approval-refuse', server: 'notes', user: '42', reason: '' }],
    [{ operation: 'approval-refuse', server: 'notes', user: '42', reason: 'a\u001b[2Jb' }],
    [{ operation: 'approval-refuse', server: 'notes', user: 'a\nb', reason: 'r' }],
  ])('is refused when it is %j', (control) => {
    expect(() => read(control)).toThrow(TypeError);
  });
});

const everywhere = { namespaces: ['team-a', 'team-b'], everywhere: true };
const here = { namespaces: ['team-a'], everywhere: false };
const ok = { v: 1, outcome: 'ok', subject: { issuer: 'kubernetes', name: 'boss' } } as const;
const waiting = {
  server: 'notes',
  key: 'abcdefghijklmnop',
  user: { issuer: 'https://idp.example.com', id: '42', name: 'Ann' },
  waiting: 'Requested',
  askedAt: '2026-11-25T09:00:00.000Z',
  reason: 'on call',
} as const;

describe('kubectl mcpkeys approvals', () => {
  beforeEach(() => operator.mockReset());

  test('names who waits by id and by the end of their UserKey, and says how to decide', async () => {
    operator.mockResolvedValue({ ...ok, operation: 'approval-list', waiting: [waiting], more: 0 } as never);
    const terminal = worldAtTerminal(new Date('2026-11-25T10:00:00Z'));
    await approvalCommand(terminal, { name: 'approvals', server: undefined }, here);
    expect(terminal.printed.join()).toMatch(
      /notes +abcdefghijklmnop +Ann +42 of https:\/\/idp.example.com +Requested +60m +on call/u,
    );
    expect(terminal.said.join()).toContain('kubectl mcpkeys approve notes -n team-a --user abcdefghijklmnop');
  });

  test('marks those about whom somebody else has to decide, and says why', async () => {
    const other = { ...waiting, undecidable: 'you are in none of the groups' };
    operator.mockResolvedValue({ ...ok, operation: 'approval-list', waiting: [other], more: 3 } as never);
    const terminal = worldAtTerminal(new Date('2026-11-25T10:00:00Z'));
    await approvalCommand(terminal, { name: 'approvals', server: 'notes' }, here);
    expect(terminal.printed.join()).toContain('abcdefghijklmnop *');
    expect(terminal.printed.join()).toContain('and 3 more');
    expect(terminal.said.join()).toContain('none of the groups');
    expect(terminal.said.join()).not.toContain('for example');
  });

  test('leaves out a namespace that refuses, with a note', async () => {
    operator.mockRejectedValueOnce(new CliError('Refused', 'no organization'));
    operator.mockResolvedValueOnce({ ...ok, operation: 'approval-list', waiting: [waiting], more: 0 } as never);
    const terminal = worldAtTerminal(new Date('2026-11-25T10:00:00Z'));
    await approvalCommand(terminal, { name: 'approvals', server: undefined }, everywhere);
    expect(terminal.said.join()).toContain('team-a is left out');
    expect(terminal.printed.join()).toContain('team-b');
  });
});

describe('kubectl mcpkeys approve and refuse', () => {
  test('send what was asked for, and say what holds now', async () => {
    const approval = { state: 'Granted', at: 'x', until: '2027-01-31T00:00:00.000Z' };
    const { user } = waiting;
    operator.mockResolvedValue({ ...ok, operation: 'approval-grant', server: 'notes', user, approval } as never);
    const terminal = worldAtTerminal(new Date('2026-11-25T10:00:00Z'));
    const end = { kind: 'after', seconds: 60 } as const;
    await approvalCommand(terminal, { name: 'approve', server: 'notes', user: '42', end, reason: undefined }, here);
    expect(operator.mock.lastCall?.[1].control).toEqual({
      v: 1,
      operation: 'approval-grant',
      server: 'notes',
      user: '42',
      lifeSeconds: 60,
    });
    expect(terminal.printed.join()).toBe('42 may have a key for notes until 2027-01-31T00:00:00.000Z');
  });

  test('a renewal says that nothing is lost meanwhile', async () => {
    const approval = { state: 'Granted', at: 'x', renewal: { at: 'y' } };
    operator.mockResolvedValue({ ...ok, operation: 'approval-request', server: 'notes', approval } as never);
    const terminal = worldAtTerminal(new Date('2026-11-25T10:00:00Z'));
    await approvalCommand(terminal, { name: 'request', server: 'notes', reason: undefined }, here);
    expect(terminal.printed.join()).toContain('lose nothing meanwhile');
  });
});
