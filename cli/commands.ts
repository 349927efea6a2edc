import type { ReadStream } from 'node:tty';
import { askOperator, type AskOptions } from './ask-operator.ts';
import { describeCheck } from './commands/test-key.ts';
import type { HeaderState, ServerState, UserKeyResponse } from './contract/responses.ts';
import type { KeyEnd } from './contract/expiry-text.ts';
import { CliError } from './errors.ts';
import { explainInjection, type Finding } from './inject/explain.ts';
import { observeInjection } from './inject/observe.ts';
import { age, kubernetesIssuer, owner, stateWithMark, table } from './output.ts';
import { confirm } from './prompt.ts';
import { chooseHeaders, readHeaders, type KeySource } from './read-headers.ts';

/** What every command gets. `print` is standard output, `say` standard error. */
export interface World extends AskOptions {
  readonly output: 'table' | 'json';
  /** The user's own token; absent: the operator takes the API server's word for who asks. */
  readonly token: string | undefined;
  readonly now: Date;
  readonly print: (text: string) => void;
  readonly say: (text: string) => void;
}

/** Where to look. In `everywhere`, a namespace that refuses is left out with a note: the others can still be told. */
export interface ListScope {
  readonly namespaces: readonly string[];
  readonly everywhere: boolean;
}

type ListRow = ServerState & { readonly namespace: string };
type ListAnswer = Extract<UserKeyResponse, { readonly operation: 'list' }>;

export async function list(world: World, { namespaces, everywhere }: ListScope): Promise<void> {
  const rows: ListRow[] = [];
  let subject: ListAnswer['subject'] | undefined;
  const refusals: CliError[] = [];
  for (const namespace of namespaces) {
    const answer = await listOne(world, namespace);
    if (answer instanceof CliError) {
      if (!everywhere) throw answer;
      refusals.push(answer);
      world.say(`note: ${namespace} is left out: ${answer.message}\n`);
      continue;
    }
    rows.push(...answer.keys.map((key) => ({ ...key, namespace })));
    subject = answer.subject;
  }
  const [refusal] = refusals;
  if (refusal !== undefined && subject === undefined) throw refusal;
  if (world.output === 'json') return world.print(JSON.stringify(rows, undefined, 2));
  if (subject !== undefined) world.say(`keys of ${owner(subject)}\n`);
  if (rows.length === 0)
    return world.say(`no MCP servers in ${everywhere ? 'any namespace' : namespaces.join(', ')}\n`);
  world.print(listTable(rows, { everywhere, now: world.now }));
}

/** A refusal about this namespace is returned; what is wrong with all of them is thrown. */
async function listOne(world: World, namespace: string): Promise<ListAnswer | CliError> {
  try {
    const order = { control: { v: 1, operation: 'list', ...tokenField(world) }, headers: [] } as const;
    return await askOperator({ ...world, namespace }, order);
  } catch (error) {
    if (error instanceof CliError && (error.code === 'Refused' || error.code === 'Kubectl')) return error;
    throw error;
  }
}

function listTable(
  rows: readonly ListRow[],
  { everywhere, now }: { readonly everywhere: boolean; readonly now: Date },
): string {
  const cells = rows.map((row) => [
    ...(everywhere ? [row.namespace] : []),
    row.server,
    stateWithMark(row.state),
    row.setAt === undefined ? '' : age(row.setAt, now),
    row.expiresAt?.slice(0, 10) ?? '',
    lastUse(row, now),
    missingOf(row.headers),
    row.title ?? '',
  ]);
  return table(
    [...(everywhere ? ['NAMESPACE'] : []), 'SERVER', 'STATE', 'AGE', 'EXPIRES', 'LAST USED', 'MISSING', 'TITLE'],
    cells,
  );
}

const expiryReasons: Readonly<Record<NonNullable<ServerState['expiryReason']>, string>> = {
  DeclaredExpiry: ', as you said',
  DetectedExpiry: ', as the key or its upstream says',
  MaxAge: ', by policy',
};

function becauseOf(reason: ServerState['expiryReason']): string {
  return reason === undefined ? '' : expiryReasons[reason];
}

/** Of one value, whatever policies say. */
function firstEndOf({ declaredExpiresAt, detectedExpiresAt }: HeaderState): string | undefined {
  return [declaredExpiresAt, detectedExpiresAt].filter((at) => at !== undefined).toSorted()[0];
}

function lastUse({ setAt, usedAt }: ServerState, now: Date): string {
  if (setAt === undefined) return '';
  return usedAt === undefined ? 'never' : `${age(usedAt, now)} ago`;
}

function missingOf(headers: readonly HeaderState[]): string {
  return headers
    .flatMap((header) =>
      header.required && (header.state === 'Missing' || header.state === 'NeedsUpdate') ? [header.name] : [],
    )
    .join(',');
}

export async function status(world: World, server: string): Promise<void> {
  const { key, subject } = await askOperator(world, {
    control: { v: 1, operation: 'status', server, ...tokenField(world) },
    headers: [],
  });
  if (world.output === 'json') return world.print(JSON.stringify({ ...key, subject }, undefined, 2));
  world.print(`${key.server}: ${stateWithMark(key.state)}, as ${owner(subject)}`);
  if (key.expiresAt !== undefined) world.print(`expires: ${key.expiresAt}${becauseOf(key.expiryReason)}`);
  if (key.setAt !== undefined) world.print(`last used: ${lastUse(key, world.now)}`);
  const rows = key.headers.map((header) => [
    header.name,
    header.required ? 'yes' : 'no',
    stateWithMark(header.state),
    firstEndOf(header)?.slice(0, 10) ?? '',
    header.title ?? '',
    header.helpURL ?? '',
  ]);
  world.print(table(['HEADER', 'REQUIRED', 'STATE', 'EXPIRES', 'TITLE', 'WHERE TO GET IT'], rows));
}

export async function set(
  world: World,
  options: {
    readonly server: string;
    readonly headers: readonly string[];
    readonly end: KeyEnd | undefined;
    readonly source: KeySource;
  },
): Promise<void> {
  const { server } = options;
  checkEnd(options.end, world.now);
  const { key } = await askOperator(world, {
    control: { v: 1, operation: 'status', server, ...tokenField(world) },
    headers: [],
  });
  const headers = await readHeaders(options.source, chooseHeaders(key.headers, options.headers));
  try {
    const stored = await askOperator(world, {
      control: { v: 1, operation: 'set', server, ...endField(options.end), ...tokenField(world) },
      headers,
    });
    for (const notice of stored.notices) world.say(`note: ${notice}\n`);
    if (world.output === 'json')
      return world.print(JSON.stringify({ ...stored.key, subject: stored.subject, check: stored.check }, undefined, 2));
    if (stored.check !== undefined) world.print(describeCheck(stored.check));
    const missing = missingOf(stored.key.headers);
    world.print(
      `stored as version ${stored.key.version} for ${owner(stored.subject)}: ${stateWithMark(stored.key.state)}${missing === '' ? '' : `, still missing: ${missing}`}`,
    );
    if (stored.key.expiresAt !== undefined)
      world.print(`expires: ${stored.key.expiresAt}${becauseOf(stored.key.expiryReason)}`);
    if (stored.subject.issuer === kubernetesIssuer) world.say(otherLoginNote);
  } finally {
    for (const header of headers) header.value.fill(0);
  }
}

export async function remove(
  world: World,
  options: { readonly server: string; readonly assumeYes: boolean; readonly terminal: ReadStream | undefined },
): Promise<void> {
  const { server } = options;
  if (!options.assumeYes) {
    if (options.terminal === undefined) throw new CliError('Usage', 'there is no terminal to ask on; give --yes');
    const sure = await confirm(options.terminal, world.say, `Destroy your key for ${server} in ${world.namespace}?`);
    if (!sure) throw new CliError('Usage', 'nothing was deleted');
  }
  const { deleted, subject } = await askOperator(world, {
    control: { v: 1, operation: 'delete', server, ...tokenField(world) },
    headers: [],
  });
  if (world.output === 'json') return world.print(JSON.stringify({ server, deleted, subject }, undefined, 2));
  const whose = `for ${server} of ${owner(subject)}`;
  world.print(deleted ? `the key ${whose} is destroyed` : `there was no key ${whose}`);
}

/** Before anybody types a key; the operator decides. */
function checkEnd(end: KeyEnd | undefined, now: Date): void {
  if (end?.kind !== 'at' || Date.parse(end.at) > now.getTime()) return;
  throw new CliError('Usage', `--expires: ${end.at} is in the past`);
}

function endField(end: KeyEnd | undefined): { readonly expiresAt?: string; readonly lifeSeconds?: number } {
  if (end === undefined) return {};
  return end.kind === 'at' ? { expiresAt: end.at } : { lifeSeconds: end.seconds };
}

const otherLoginNote =
  'note: an MCP client that logs in at an identity provider is another user, with other keys: ' +
  'give a token of that login with --token-file\n';

const findingMarks: Readonly<Record<Finding['result'], string>> = { ok: '✅', problem: '❌', unknown: '❔' };

/** Resolves whether a new pod would get the sidecar. */
export async function checkInject(world: World, target: string): Promise<boolean> {
  const findings = explainInjection(await observeInjection(world.kubectl, world.namespace, target));
  if (world.output === 'json') world.print(JSON.stringify(findings, undefined, 2));
  else for (const { result, message } of findings) world.print(`${findingMarks[result]} ${message}`);
  return findings.every((finding) => finding.result !== 'problem');
}

function tokenField(world: World): { readonly token?: string } {
  return world.token === undefined ? {} : { token: world.token };
}
