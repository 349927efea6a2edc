import { beforeEach, describe, expect, test, vi } from 'vitest';
import { askOperator } from '#cli/ask-operator.ts';
import { list, remove, set, status } from '#cli/commands.ts';
import { testKey } from '#cli/commands/test-key.ts';
import type { KeyEnd } from '#cli/contract/expiry-text.ts';
import type { KeyCheck } from '#cli/contract/responses.ts';
import { CliError } from '#cli/errors.ts';
import { hintsFor } from '#cli/kubectl.ts';
import { kubernetesIssuer } from '#cli/output.ts';
import { kubernetesSubjectIssuer } from '#contract/set-command.ts';

import { worldAtTerminal } from './terminal.ts';

vi.mock('#cli/ask-operator.ts');
const operator = vi.mocked(askOperator);

const labAdmin = { issuer: kubernetesIssuer, name: 'lab-admin' };
const alice = { issuer: 'https://idp.example', name: 'alice' };
const header = { name: 'Authorization', required: true, state: 'Configured', template: 'Bearer {value}' } as const;
const key = { server: 'notes', state: 'Configured', version: 7, headers: [header] } as const;

/** The operator takes the requester for `subject`, and refuses in the namespaces named. */
function operatorFor(subject: typeof alice, refuses: Readonly<Record<string, CliError>> = {}): void {
  operator.mockImplementation(({ namespace }, { control }) => {
    const refusal = refuses[namespace];
    if (refusal !== undefined) return Promise.reject(refusal);
    const ok = { v: 1, outcome: 'ok', operation: control.operation, subject } as const;
    const answer = { ...ok, key, keys: [key], more: 0, notices: [], server: 'notes', deleted: true };
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    return Promise.resolve(answer as never);
  });
}

function typed(end?: KeyEnd): Parameters<typeof set>[1] {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return {
    server: 'notes',
    headers: [],
    end,
    source: { kind: 'pipe', input: [Buffer.from('ghp_1')] as never },
  };
}

beforeEach(() => {
  operator.mockReset();
});

describe('whose keys these are', () => {
  test('the plugin and the operator call the cluster by one name', () => {
    expect(kubernetesIssuer).toBe(kubernetesSubjectIssuer);
  });

  test('set says it, and that a login elsewhere is another user', async () => {
    operatorFor(labAdmin);
    const world = worldAtTerminal();
    await set(world, typed());
    expect(world.printed).toEqual(['stored as version 7 for lab-admin (Kubernetes): 🟢 Configured']);
    expect(world.said.join('')).toMatch(/another user.*--token-file/u);
  });

  test('set has nothing to add for a user of an identity provider', async () => {
    operatorFor(alice);
    const world = worldAtTerminal();
    await set(world, typed());
    expect(world.printed).toEqual(['stored as version 7 for alice (https://idp.example): 🟢 Configured']);
    expect(world.said).toEqual([]);
  });

  test('delete says it', async () => {
    operatorFor(labAdmin);
    const world = worldAtTerminal();
    await remove(world, { server: 'notes', assumeYes: true, terminal: undefined });
    expect(world.printed).toEqual(['the key for notes of lab-admin (Kubernetes) is destroyed']);
  });

  test('list says it beside the table, which scripts read', async () => {
    operatorFor(alice);
    const world = worldAtTerminal();
    await list(world, { namespaces: ['team-a'], everywhere: false });
    expect(world.said).toEqual(['keys of alice (https://idp.example)\n']);
    expect(world.printed.join('')).toMatch(/^SERVER .*\nnotes /u);
  });
});

describe('when a key ends', () => {
  const ending = { ...key, expiresAt: '2027-01-31T00:00:00.000Z', expiryReason: 'DeclaredExpiry' } as const;
  const answerOf = (operation: string) => ({
    v: 1,
    outcome: 'ok',
    operation,
    subject: alice,
    key: ending,
    notices: [],
  });

  test('set sends what its user says of it, and says until when the key is used', async () => {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    operator.mockImplementation((_world, { control }) => Promise.resolve(answerOf(control.operation) as never));
    const world = worldAtTerminal();
    await set(world, typed({ kind: 'at', at: '2999-01-31T00:00:00.000Z' }));
    await set(world, typed({ kind: 'after', seconds: 2_592_000 }));
    const controls = operator.mock.calls
      .map(([, { control }]) => control)
      .filter(({ operation }) => operation === 'set');
    expect(controls).toEqual([
      { v: 1, operation: 'set', server: 'notes', expiresAt: '2999-01-31T00:00:00.000Z' },
      { v: 1, operation: 'set', server: 'notes', lifeSeconds: 2_592_000 },
    ]);
    expect(world.printed).toContain('expires: 2027-01-31T00:00:00.000Z, as you said');
  });

  test('set refuses a time that has passed before anybody types a key', async () => {
    const past = set(worldAtTerminal(), typed({ kind: 'at', at: '2020-01-31T00:00:00.000Z' }));
    await expect(past).rejects.toThrow('--expires: 2020-01-31T00:00:00.000Z is in the past');
    expect(operator).not.toHaveBeenCalled();
  });

  test('list and status say when a key was used last', async () => {
    const row = (change: object) => ({ ...key, ...change });
    const setAt = '2026-11-25T08:00:00.000Z';
    const keys = [row({ setAt, usedAt: '2026-11-25T09:50:00.000Z' }), row({ setAt }), row({ state: 'Missing' })];
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    operator.mockResolvedValueOnce({ ...answerOf('list'), keys, more: 0 } as never);
    const world = { ...worldAtTerminal(), now: new Date('2026-11-25T10:00:00.000Z') };
    await list(world, { namespaces: ['team-a'], everywhere: false });
    const lines = world.printed.join('\n').split('\n');
    expect(lines[0]).toContain('LAST USED');
    expect(lines.slice(1).map((line) => /10m ago|never/u.exec(line)?.[0])).toEqual(['10m ago', 'never', undefined]);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    operator.mockResolvedValueOnce({ ...answerOf('status'), key: keys[0] } as never);
    await status(world, 'notes');
    expect(world.printed).toContain('last used: 10m ago');
  });

  test('status says it of each header', async () => {
    const headers = [
      { ...header, declaredExpiresAt: '2027-01-31T00:00:00.000Z', detectedExpiresAt: '2026-12-24T00:00:00.000Z' },
    ];
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    operator.mockResolvedValue({ ...answerOf('status'), key: { ...ending, expiryReason: 'MaxAge', headers } } as never);
    const world = worldAtTerminal();
    await status(world, 'notes');
    expect(world.printed.join('\n')).toContain('expires: 2027-01-31T00:00:00.000Z, by policy');
    expect(world.printed.join('\n')).toMatch(/EXPIRES.*\nAuthorization .* 2026-12-24/u);
  });
});

describe('list of every namespace', () => {
  const refused = new CliError('Refused', 'Namespace b belongs to no organization.');
  const everywhere = { namespaces: ['a', 'b', 'c'], everywhere: true };

  test('leaves out one that refuses, with a note', async () => {
    operatorFor(alice, { b: refused });
    const world = worldAtTerminal();
    await list(world, everywhere);
    expect(world.printed.join('')).toMatch(/^NAMESPACE .*\na .*\nc [^\n]*$/u);
    expect(world.said[0]).toBe('note: b is left out: Namespace b belongs to no organization.\n');
  });

  test('fails when all refuse, and in one namespace', async () => {
    operatorFor(alice, { a: refused, b: refused, c: refused });
    await expect(list(worldAtTerminal(), everywhere)).rejects.toBe(refused);
    await expect(list(worldAtTerminal(), { namespaces: ['b'], everywhere: false })).rejects.toBe(refused);
  });

  test('does not wait for an operator that is away once for each', async () => {
    const timeout = new CliError('Timeout', 'the operator did not answer within 1 s');
    operatorFor(alice, { a: timeout });
    await expect(list(worldAtTerminal(), everywhere)).rejects.toBe(timeout);
    expect(operator).toHaveBeenCalledOnce();
  });

  test('needs the role in every namespace, and says so', () => {
    const stderr = 'Error from server (Forbidden): mcpservers.mcpkeyring.io is forbidden';
    expect(hintsFor(['get', 'mcpservers.mcpkeyring.io', '-A'], stderr)[0]).toMatch(/ClusterRoleBinding.*-n$/u);
    expect(hintsFor(['create', '-n', 'a'], stderr)[0]).toMatch(/'mcp-keyring-user' to you in this namespace$/u);
  });
});

describe('a kind that the cluster does not have', () => {
  const stderr = `error: the server doesn't have a resource type "x"`;

  test('is ours: then MCP Keyring is not installed', () => {
    expect(hintsFor(['get', 'userkeyrequests.mcpkeyring.io'], stderr)[0]).toMatch(/not installed/u);
    const create = 'no matches for kind "UserKeyRequest" in version "mcpkeyring.io/v1alpha1"';
    expect(hintsFor(['create', '-f', '-'], create)[0]).toMatch(/not installed/u);
  });

  test("is the user's: nothing is said of MCP Keyring", () => {
    expect(hintsFor(['get', '-n', 'a', 'x/y'], stderr).join('')).not.toMatch(/installed/u);
  });
});

describe('test', () => {
  const accepted = { verdict: 'Accepted', reason: 'Accepted', message: 'GitHub accepts the key.' } as const;
  const lacking = {
    verdict: 'InsufficientScope',
    reason: 'ScopeMissing',
    message: 'GitHub knows the key, but the key lacks the rights for create_issue (403).',
    help: 'Make a token with the scope repo.',
  } as const;

  function answering(check: KeyCheck | undefined): AskedOrder[] {
    const asked: AskedOrder[] = [];
    operator.mockImplementation((_options, { control, headers }) => {
      asked.push({ operation: control.operation, values: headers.map(({ value }) => Buffer.from(value).toString()) });
      const ok = { v: 1, outcome: 'ok', operation: control.operation, subject: alice } as const;
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion
      return Promise.resolve({ ...ok, key, server: 'notes', tried: 'stored', check } as never);
    });
    return asked;
  }

  test('of the stored key sends no value, and says what the upstream said', async () => {
    const asked = answering(lacking);
    const world = worldAtTerminal();
    expect(await testKey(world, { ...typed(), typed: false })).toBe(false);
    expect(asked).toEqual([{ operation: 'test', values: [] }]);
    expect(world.printed).toEqual([`❌ ${lacking.message}\n   ${lacking.help}`]);
  });

  test('of a typed key sends it sealed, and nothing is set', async () => {
    const asked = answering(accepted);
    const world = worldAtTerminal();
    expect(await testKey(world, { ...typed(), typed: true })).toBe(true);
    expect(asked).toEqual([
      { operation: 'status', values: [] },
      { operation: 'test', values: ['ghp_1'] },
    ]);
    expect(world.printed).toEqual(['✅ GitHub accepts the key.']);
    expect(JSON.stringify([world.printed, world.said])).not.toContain('ghp_1');
  });

  test('says when nothing was found out, or nobody has said how', async () => {
    const world = worldAtTerminal();
    answering({ reason: 'TimedOut', message: 'GitHub does not answer in time.' });
    expect(await testKey(world, { ...typed(), typed: false })).toBe(false);
    answering(undefined);
    expect(await testKey(world, { ...typed(), typed: false })).toBe(false);
    expect(world.printed[0]).toBe('❔ GitHub does not answer in time. Nothing is known of the key.');
    expect(world.printed[1]).toMatch(/no policy says how/u);
  });
});

interface AskedOrder {
  readonly operation: string;
  readonly values: readonly string[];
}
