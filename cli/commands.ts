import type { ReadStream } from 'node:tty';
import { askOperator, type AskOptions } from './ask-operator.ts';
import type { HeaderState, ServerState } from './contract/responses.ts';
import { CliError } from './errors.ts';
import { explainInjection, type Finding } from './inject/explain.ts';
import { observeInjection } from './inject/observe.ts';
import { age, stateWithMark, table } from './output.ts';
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

export async function list(world: World, namespaces: readonly string[]): Promise<void> {
  const rows: (ServerState & { readonly namespace: string })[] = [];
  for (const namespace of namespaces) {
    const { keys } = await askOperator(
      { ...world, namespace },
      { control: { v: 1, operation: 'list', ...tokenField(world) }, headers: [] },
    );
    rows.push(...keys.map((key) => ({ ...key, namespace })));
  }
  if (world.output === 'json') return world.print(JSON.stringify(rows, undefined, 2));
  if (rows.length === 0) return world.say(`no MCP servers in ${namespaces.join(', ')}\n`);
  const cells = rows.map((row) => [
    ...(namespaces.length > 1 ? [row.namespace] : []),
    row.server,
    stateWithMark(row.state),
    row.setAt === undefined ? '' : age(row.setAt, world.now),
    missingOf(row.headers),
    row.title ?? '',
  ]);
  world.print(
    table([...(namespaces.length > 1 ? ['NAMESPACE'] : []), 'SERVER', 'STATE', 'AGE', 'MISSING', 'TITLE'], cells),
  );
}

function missingOf(headers: readonly HeaderState[]): string {
  return headers.flatMap((header) => (header.required && header.state === 'Missing' ? [header.name] : [])).join(',');
}

export async function status(world: World, server: string): Promise<void> {
  const { key, subject } = await askOperator(world, {
    control: { v: 1, operation: 'status', server, ...tokenField(world) },
    headers: [],
  });
  if (world.output === 'json') return world.print(JSON.stringify({ ...key, subject }, undefined, 2));
  world.print(`${key.server}: ${stateWithMark(key.state)}, as ${subject.name} (${subject.issuer})`);
  const rows = key.headers.map((header) => [
    header.name,
    header.required ? 'yes' : 'no',
    stateWithMark(header.state),
    header.title ?? '',
    header.helpURL ?? '',
  ]);
  world.print(table(['HEADER', 'REQUIRED', 'STATE', 'TITLE', 'WHERE TO GET IT'], rows));
}

export async function set(
  world: World,
  options: { readonly server: string; readonly headers: readonly string[]; readonly source: KeySource },
): Promise<void> {
  const { server } = options;
  const { key } = await askOperator(world, {
    control: { v: 1, operation: 'status', server, ...tokenField(world) },
    headers: [],
  });
  const headers = await readHeaders(options.source, chooseHeaders(key.headers, options.headers));
  try {
    const stored = await askOperator(world, {
      control: { v: 1, operation: 'set', server, ...tokenField(world) },
      headers,
    });
    for (const notice of stored.notices) world.say(`note: ${notice}\n`);
    if (world.output === 'json')
      return world.print(JSON.stringify({ ...stored.key, subject: stored.subject }, undefined, 2));
    const missing = missingOf(stored.key.headers);
    world.print(
      `stored as version ${stored.key.version} for ${stored.subject.name}: ${stateWithMark(stored.key.state)}${missing === '' ? '' : `, still missing: ${missing}`}`,
    );
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
  world.print(deleted ? `your key for ${server} is destroyed` : `there was no key of yours for ${server}`);
}

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
