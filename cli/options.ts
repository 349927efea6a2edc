import { parseArgs } from 'node:util';
import { type ApprovalCommand, approvalCommandOf, isApprovalCommand } from './approval-options.ts';
import type { RevokeWhose } from './commands/revoke.ts';
import { readDuration, type KeyEnd } from './contract/expiry-text.ts';
import { fingerprintForm, revokeLimits } from './contract/revoke-control.ts';
import { CliError } from './errors.ts';
import { keyEndOf } from './key-end-option.ts';

export type Command =
  | { readonly name: 'help' }
  | { readonly name: 'version' }
  | { readonly name: 'list' }
  | { readonly name: 'status'; readonly server: string }
  | {
      readonly name: 'set';
      readonly server: string;
      readonly headers: readonly string[];
      /** When the key ends at its upstream. */
      readonly end: KeyEnd | undefined;
    }
  | { readonly name: 'test'; readonly server: string; readonly typed: boolean; readonly headers: readonly string[] }
  | { readonly name: 'delete'; readonly server: string; readonly assumeYes: boolean }
  | RevokeCommand
  | ApprovalCommand
  | TokenCommand
  | { readonly name: 'check-inject'; readonly target: string };

export interface RevokeCommand {
  readonly name: 'revoke';
  readonly server: string | undefined;
  readonly whose: RevokeWhose;
  readonly reason: string | undefined;
  readonly assumeYes: boolean;
}

export type TokenCommand =
  | {
      readonly name: 'token-create';
      readonly servers: readonly string[];
      readonly lifeSeconds: number | undefined;
      readonly title: string | undefined;
    }
  | { readonly name: 'token-list' }
  | { readonly name: 'token-revoke'; readonly id: string };

export interface Options {
  readonly command: Command;
  readonly namespace: string | undefined;
  readonly allNamespaces: boolean;
  readonly output: 'table' | 'json';
  /** File with the user's own token (an OIDC or ServiceAccount token); absent: the kubeconfig's identity. */
  readonly tokenFile: string | undefined;
  readonly operatorNamespace: string;
  readonly timeoutMs: number;
  /** Passed on to every kubectl call. */
  readonly kubectlFlags: readonly string[];
}

export const usage = `Your own API keys for the MCP servers of this cluster.

Usage:
  kubectl mcpkeys list                     servers, and the state of your key for each
  kubectl mcpkeys set <server>             store your key: asked for, or read from standard input
  kubectl mcpkeys status <server>          the state of each header of your key
  kubectl mcpkeys test <server>            try your key at its upstream, now
  kubectl mcpkeys delete <server>          destroy your key
  kubectl mcpkeys revoke <server>          put your key out of use at once and for good: it has leaked
  kubectl mcpkeys revoke <server> --user <user> | --all-users       the same for keys of others (administrators)
  kubectl mcpkeys revoke [<server>] --leaked [-A] < value.txt       every key that holds this value (administrators)
  kubectl mcpkeys request <server>         ask for approval of your key, where a policy wants it
  kubectl mcpkeys approvals [<server>]     who waits for approval (approvers)
  kubectl mcpkeys approve <server> --user <user> [--until <time>]   let them have a key (approvers)
  kubectl mcpkeys refuse <server> --user <user> --reason <text>     do not, or not any more (approvers)
  kubectl mcpkeys token create --server <server>   a token for MCP clients that cannot log in
  kubectl mcpkeys token list               your tokens, and when they were last used
  kubectl mcpkeys token revoke <id>        end one, at once
  kubectl mcpkeys check-inject <kind/name> why a workload gets the sidecar, or why not

Flags:
  -n, --namespace <name>     namespace of the server (default: the kubeconfig's)
  -A, --all-namespaces       list, approvals, revoke --leaked: every namespace
      --header <name>        set, test --typed: only this header (may be given several times)
      --server <name>        token create: accepted at this server (may be given several times)
      --expires <time>       set: when the key ends where it is from: 2027-01-31, 2027-01-31T09:00:00+01:00, 30d
                             token create: 30d, 12h; default: as long as the organization allows
      --title <text>         token create: what you call it
      --typed                test: try a key that you type, and store nothing
      --token-file <file>    act as the user of this token instead of the kubeconfig's user
      --user <user>          revoke, approve, refuse: id of the user, or the end of their UserKey's name; revoke: or name
      --until <time>         approve: when it ends: 2027-01-31, 30d; default: as late as policies allow
      --all-users            revoke: the keys of all users of the server
      --leaked               revoke: keys with the value that is asked for, or read from standard input
      --fingerprint <fp>     revoke: keys with the value that an earlier search, or the audit log, gave this for
      --reason <text>        request, approve, refuse, revoke: for the record, and for each other
  -y, --yes                  delete, revoke: do not ask
  -o, --output table|json
      --timeout <seconds>    how long to wait for the operator (default 30)
      --operator-namespace   where MCP Keyring is installed (default mcp-keyring)
      --context, --kubeconfig, --cluster, --user, --as, --as-group: as for kubectl (revoke, approve and refuse have
      a --user of their own)

A key is read from standard input or a prompt, never from the command line:
  kubectl mcpkeys set github < key.txt
  printf 'Authorization: %s\\nX-Client-ID: %s\\n' "$A" "$B" | kubectl mcpkeys set jira
`;

const config = {
  namespace: { type: 'string', short: 'n' },
  'all-namespaces': { type: 'boolean', short: 'A', default: false },
  header: { type: 'string', multiple: true, default: [] as string[] },
  'token-file': { type: 'string' },
  server: { type: 'string', multiple: true, default: [] as string[] },
  expires: { type: 'string' },
  title: { type: 'string' },
  typed: { type: 'boolean', default: false },
  'all-users': { type: 'boolean', default: false },
  leaked: { type: 'boolean', default: false },
  fingerprint: { type: 'string' },
  reason: { type: 'string' },
  until: { type: 'string' },
  yes: { type: 'boolean', short: 'y', default: false },
  output: { type: 'string', short: 'o', default: 'table' },
  timeout: { type: 'string', default: '30' },
  'operator-namespace': { type: 'string', default: 'mcp-keyring' },
  help: { type: 'boolean', short: 'h', default: false },
  version: { type: 'boolean', default: false },
  context: { type: 'string' },
  kubeconfig: { type: 'string' },
  cluster: { type: 'string' },
  user: { type: 'string' },
  as: { type: 'string' },
  'as-group': { type: 'string' },
} as const;

const kubectlFlagNames = ['context', 'kubeconfig', 'cluster', 'user', 'as', 'as-group'] as const;
const timeoutSecondsMax = 600;

/** Reads argv (without node and script). Every problem is a `CliError` with code `Usage`. */
export function parseOptions(argv: readonly string[]): Options {
  const { values, positionals } = parse(argv);
  const output = values.output;
  if (output !== 'table' && output !== 'json') throw new CliError('Usage', `-o ${output}: give table or json`);
  return {
    command: commandOf(values, positionals),
    namespace: values.namespace,
    allNamespaces: values['all-namespaces'],
    output,
    tokenFile: values['token-file'],
    operatorNamespace: values['operator-namespace'],
    timeoutMs: timeoutOf(values.timeout),
    kubectlFlags: kubectlFlagsOf(values, positionals[0]),
  };
}

const aboutOthers: ReadonlySet<string | undefined> = new Set(['revoke', 'approve', 'refuse']);

/** `--user` of these is whose key it is. */
function kubectlFlagsOf(values: Parsed['values'], command: string | undefined): readonly string[] {
  const names = kubectlFlagNames.filter((name) => name !== 'user' || !aboutOthers.has(command));
  return names.flatMap((name) => (values[name] === undefined ? [] : [`--${name}=${values[name]}`]));
}

/** kubectl would take a name alone for a kind. */
function workloadOf(target: string): string {
  if (target.includes('/')) return target;
  throw new CliError('Usage', `${target} is not <kind/name>`, [
    'for example: kubectl mcpkeys check-inject deploy/notes',
  ]);
}

type Parsed = ReturnType<typeof parseArgs<{ options: typeof config; allowPositionals: true }>>;

function parse(argv: readonly string[]): Parsed {
  try {
    return parseArgs({ args: [...argv], options: config, allowPositionals: true });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new CliError('Usage', message.split('. ')[0] ?? message, ["run 'kubectl mcpkeys --help' for the flags"]);
  }
}

function timeoutOf(text: string): number {
  const seconds = Number(text);
  if (!Number.isFinite(seconds) || seconds <= 0 || seconds > timeoutSecondsMax) {
    throw new CliError('Usage', `--timeout ${text}: give seconds from 1 to ${timeoutSecondsMax}`);
  }
  return seconds * 1000;
}

type CommandWithArgument = 'set' | 'status' | 'test' | 'delete' | 'check-inject';

const argumentNames: Readonly<Record<CommandWithArgument, string>> = {
  set: '<server>',
  status: '<server>',
  test: '<server>',
  delete: '<server>',
  'check-inject': '<kind/name>',
};

function takesArgument(name: string): name is CommandWithArgument {
  return Object.hasOwn(argumentNames, name);
}

function commandOf(values: Parsed['values'], positionals: readonly string[]): Command {
  if (values.help || positionals[0] === 'help') return { name: 'help' };
  if (values.version) return { name: 'version' };
  const [name, argument, ...rest] = positionals;
  if (name === undefined) return { name: 'help' };
  if (name === 'list') return listCommandOf(argument);
  if (name === 'token') return tokenCommandOf(values, positionals.slice(1));
  if (name === 'revoke') return revokeCommandOf(values, positionals.slice(1));
  if (isApprovalCommand(name)) return approvalCommandOf(name, values, positionals.slice(1));
  if (!takesArgument(name))
    throw new CliError('Usage', `unknown command ${name}`, ["run 'kubectl mcpkeys --help' for the commands"]);
  if (argument === undefined || rest.length > 0) throw tooManyOrFew(name, rest);
  return commandWithArgument(name, argument, values);
}

function listCommandOf(argument: string | undefined): Command {
  if (argument === undefined) return { name: 'list' };
  throw new CliError('Usage', `list takes no argument; for one server: kubectl mcpkeys status ${argument}`);
}

const revokeUsage = 'give: revoke <server>, with --user <user> or --all-users for keys of others, or revoke --leaked';

function revokeCommandOf(values: Parsed['values'], [server, ...rest]: readonly string[]): RevokeCommand {
  if (rest.length > 0) {
    throw new CliError('Usage', revokeUsage, [
      'a value that has leaked is never given on the command line: pipe it in',
    ]);
  }
  const whose = whoseOf(values);
  const takesAllServers = whose.kind === 'leaked' || whose.kind === 'fingerprint' || whose.kind === 'user';
  if (server === undefined && !takesAllServers) throw new CliError('Usage', revokeUsage);
  if (values['all-namespaces'] && (server !== undefined || !takesAllServers)) {
    throw new CliError('Usage', '--all-namespaces goes with --leaked, --fingerprint or --user, and without a server');
  }
  const { reason, yes: assumeYes } = values;
  if (reason !== undefined && (reason === '' || reason.length > revokeLimits.reasonCharsMax)) {
    throw new CliError(
      'Usage',
      `--reason: give 1 to ${revokeLimits.reasonCharsMax} characters, and nothing of the key`,
    );
  }
  return { name: 'revoke', server, whose, reason, assumeYes };
}

function whoseOf(values: Parsed['values']): RevokeWhose {
  const { user, fingerprint, leaked, 'all-users': everybody } = values;
  const asked = [user !== undefined, fingerprint !== undefined, leaked, everybody].filter(Boolean);
  if (asked.length > 1) throw new CliError('Usage', 'give one of --user, --all-users, --leaked and --fingerprint');
  if (user !== undefined) return { kind: 'user', user };
  if (everybody) return { kind: 'everybody' };
  if (leaked) return { kind: 'leaked' };
  if (fingerprint === undefined) return { kind: 'own' };
  if (fingerprintForm.test(fingerprint)) return { kind: 'fingerprint', fingerprint };
  // It may be the value itself.
  throw new CliError('Usage', '--fingerprint takes fp- and 26 characters; for a value give --leaked, and pipe it in');
}

function tokenCommandOf(values: Parsed['values'], [what, id, ...rest]: readonly string[]): Command {
  if (what === 'list' && id === undefined) return { name: 'token-list' };
  if (what === 'revoke' && id !== undefined && rest.length === 0) return { name: 'token-revoke', id };
  if (what === 'create' && id === undefined) {
    if (values.server.length === 0)
      throw new CliError('Usage', 'token create: give --server <server>, once for each server that takes the token');
    const lifeSeconds = values.expires === undefined ? undefined : secondsOf(values.expires);
    return { name: 'token-create', servers: values.server, lifeSeconds, title: values.title };
  }
  throw new CliError('Usage', 'give: token create --server <server>, token list, or token revoke <id>');
}

function secondsOf(text: string): number {
  const seconds = readDuration(text);
  if (seconds !== undefined) return seconds;
  throw new CliError('Usage', `--expires ${text}: give a number and s, m, h or d, for example 30d`);
}

function tooManyOrFew(name: CommandWithArgument, rest: readonly string[]): CliError {
  const hints =
    (name === 'set' || name === 'test') && rest.length > 0
      ? ['a key is never given on the command line: pipe it in, or wait for the prompt']
      : [];
  return new CliError('Usage', `${name} takes one argument: kubectl mcpkeys ${name} ${argumentNames[name]}`, hints);
}

function commandWithArgument(name: CommandWithArgument, argument: string, values: Parsed['values']): Command {
  switch (name) {
    case 'set':
      return { name, server: argument, headers: values.header, end: keyEndOf('--expires', values.expires) };
    case 'status':
      return { name, server: argument };
    case 'test':
      return { name, server: argument, typed: values.typed, headers: values.header };
    case 'delete':
      return { name, server: argument, assumeYes: values.yes };
    case 'check-inject':
      return { name, target: workloadOf(argument) };
  }
}
