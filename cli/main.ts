/** Composition root of `kubectl mcpkeys`: the only file that reads arguments and touches the terminal. */
import { readFileSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import { checkInject, list, remove, set, status, type ListScope, type World } from './commands.ts';
import { type ApprovalCommand, isApprovalCommand } from './approval-options.ts';
import { approvalCommand } from './commands/approvals.ts';
import { revoke } from './commands/revoke.ts';
import { createToken, listTokens, revokeToken } from './commands/token.ts';
import { testKey } from './commands/test-key.ts';
import { UserKeyRequestError } from './contract/user-key-request.ts';
import { CliError, exitStatuses } from './errors.ts';
import { Kubectl } from './kubectl.ts';
import { parseOptions, usage, type Options, type RevokeCommand, type TokenCommand } from './options.ts';
import { printable } from './output.ts';
import type { KeySource } from './read-headers.ts';
import { version } from './version.ts';

const tokenBytesMax = 16_384;

function print(text: string): void {
  process.stdout.write(`${printable(text)}\n`);
}

function say(text: string): void {
  process.stderr.write(printable(text));
}

function readToken(file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  try {
    const token = readFileSync(file, 'utf8').trim();
    if (token !== '' && token.length <= tokenBytesMax) return token;
  } catch {
    throw new CliError('Usage', `--token-file ${file} cannot be read`);
  }
  throw new CliError('Usage', `--token-file ${file} is empty or longer than ${tokenBytesMax} characters`);
}

async function namespaceOf(kubectl: Kubectl, options: Options): Promise<string> {
  if (options.namespace !== undefined) return options.namespace;
  const found = await kubectl.text(['config', 'view', '--minify', '-o', 'jsonpath={..namespace}']);
  return found.trim() === '' ? 'default' : found.trim();
}

async function worldOf(options: Options): Promise<World> {
  const kubectl = new Kubectl(options.kubectlFlags);
  const { operatorNamespace, timeoutMs, output } = options;
  const [namespace, token] = [await namespaceOf(kubectl, options), readToken(options.tokenFile)];
  return { kubectl, namespace, operatorNamespace, timeoutMs, output, token, now: new Date(), print, say };
}

async function scopeOf(world: World, options: Options): Promise<ListScope> {
  if (!options.allNamespaces) return { namespaces: [world.namespace], everywhere: false };
  const servers = await world.kubectl.json<{ items: { metadata: { namespace: string } }[] }>([
    'get',
    'mcpservers.mcpkeyring.io',
    '-A',
  ]);
  const namespaces = [...new Set((servers?.items ?? []).map((item) => item.metadata.namespace))];
  return { namespaces, everywhere: true };
}

function keySource(): KeySource {
  if (process.stdin instanceof ReadStream && process.stdin.isTTY)
    return { kind: 'terminal', terminal: process.stdin, say };
  return { kind: 'pipe', input: process.stdin };
}

async function runCommand(options: Options): Promise<number> {
  const { command } = options;
  if (command.name === 'help') return done(() => print(usage));
  if (command.name === 'version') return done(() => print(version));
  return await runInWorld(await worldOf(options), command, options);
}

type WorldCommand = Exclude<Options['command'], { readonly name: 'help' | 'version' }>;

async function runInWorld(world: World, command: WorldCommand, options: Options): Promise<number> {
  if (isTokenCommand(command)) return done(() => runTokenCommand(world, command));
  if (isAboutApproval(command)) return done(async () => approvalCommand(world, command, await scopeOf(world, options)));
  switch (command.name) {
    case 'list':
      return done(async () => list(world, await scopeOf(world, options)));
    case 'status':
      return done(() => status(world, command.server));
    case 'set':
      return done(() => set(world, { ...command, source: keySource() }));
    case 'test':
      return (await testKey(world, { ...command, source: keySource() })) ? 0 : 1;
    case 'delete': {
      const source = keySource();
      return done(() =>
        remove(world, { ...command, terminal: source.kind === 'terminal' ? source.terminal : undefined }),
      );
    }
    case 'revoke':
      return runRevoke(world, command, options);
    case 'check-inject':
      return (await checkInject(world, command.target)) ? 0 : 1;
  }
}

async function runRevoke(world: World, command: RevokeCommand, options: Options): Promise<number> {
  const scope = await scopeOf(world, options);
  return (await revoke(world, { ...command, scope, source: keySource() })) ? 0 : 1;
}

function isTokenCommand(command: WorldCommand): command is TokenCommand {
  return command.name.startsWith('token-');
}

function isAboutApproval(command: WorldCommand): command is ApprovalCommand {
  return isApprovalCommand(command.name);
}

function runTokenCommand(world: World, command: TokenCommand): Promise<void> {
  switch (command.name) {
    case 'token-create':
      return createToken(world, command);
    case 'token-list':
      return listTokens(world);
    case 'token-revoke':
      return revokeToken(world, command.id);
  }
}

async function done(action: () => void | Promise<void>): Promise<number> {
  await action();
  return 0;
}

/** Lower-case, no period, hints below: what is wrong and what to do. */
function report(error: unknown): number {
  if (error instanceof CliError) {
    say(`mcpkeys: ${error.message}\n${error.hints.map((hint) => `  ${hint}\n`).join('')}`);
    return exitStatuses[error.code];
  }
  if (error instanceof UserKeyRequestError) {
    say(`mcpkeys: ${error.message}\n`);
    return exitStatuses.Refused;
  }
  say(`mcpkeys: ${error instanceof Error ? error.message : 'something unknown went wrong'}\n`);
  return 1;
}

async function main(): Promise<number> {
  try {
    return await runCommand(parseOptions(process.argv.slice(2)));
  } catch (error) {
    return report(error);
  }
}

process.exitCode = await main();
