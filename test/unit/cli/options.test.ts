import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { CliError } from '#cli/errors.ts';
import { parseOptions } from '#cli/options.ts';
import { version } from '#cli/version.ts';

function problemOf(...argv: readonly string[]): CliError {
  try {
    parseOptions(argv);
  } catch (error) {
    if (error instanceof CliError) return error;
    throw error;
  }
  throw new Error('taken, although it had to be refused');
}

describe('parseOptions', () => {
  test('reads a command with its argument and flags', () => {
    const options = parseOptions(['set', 'notes', '-n', 'team', '--header', 'A', '--header', 'B', '--timeout', '5']);
    expect(options.command).toEqual({ name: 'set', server: 'notes', headers: ['A', 'B'] });
    expect(options.namespace).toBe('team');
    expect(options.timeoutMs).toBe(5000);
  });

  test('passes the flags that kubectl knows on to kubectl', () => {
    const { kubectlFlags } = parseOptions(['list', '--context', 'x', '--as', 'alice']);
    expect(kubectlFlags).toEqual(['--context=x', '--as=alice']);
  });

  test('shows help when nothing is asked', () => {
    expect(parseOptions([]).command).toEqual({ name: 'help' });
    expect(parseOptions(['set', '--help']).command).toEqual({ name: 'help' });
  });

  test('refuses a key among the arguments and says where it goes', () => {
    const problem = problemOf('set', 'notes', 'ghp_secret');
    expect(problem.code).toBe('Usage');
    expect(problem.hints.join()).toContain('never given on the command line');
    expect(`${problem.message}${problem.hints.join()}`).not.toContain('ghp_secret');
  });

  test.each([
    [['lst'], /unknown command lst/u],
    [['set'], /takes one argument/u],
    [['list', 'notes'], /kubectl mcpkeys status notes/u],
    [['check-inject', 'notes'], /notes is not <kind\/name>/u],
    [['list', '--nope'], /--nope/u],
    [['list', '-o', 'yaml'], /table or json/u],
    [['list', '--timeout', 'soon'], /seconds/u],
    [['list', '--timeout', '-1'], /seconds|argument/u],
  ])('refuses %j', (argv, message) => {
    expect(problemOf(...argv).message).toMatch(message);
  });

  test('a command named like a property of every object is unknown', () => {
    expect(problemOf('constructor').message).toMatch(/unknown command/u);
  });
});

test('the plugin has the version of the package', () => {
  expect(JSON.parse(readFileSync('package.json', 'utf8')).version).toBe(version);
});
