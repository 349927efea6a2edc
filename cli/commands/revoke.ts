import { askOperator } from '../ask-operator.ts';
import type { ListScope, World } from '../commands.ts';
import type { RevokeAnswer, RevokedKey } from '../contract/responses.ts';
import { leakedValueName, type RevokeControl } from '../contract/revoke-control.ts';
import { CliError } from '../errors.ts';
import { owner, table } from '../output.ts';
import { askSecret, confirm, readAll } from '../prompt.ts';
import type { KeySource } from '../read-headers.ts';

export type RevokeWhose =
  | { readonly kind: 'own' }
  | { readonly kind: 'user'; readonly user: string }
  | { readonly kind: 'everybody' }
  | { readonly kind: 'fingerprint'; readonly fingerprint: string }
  /** Keys that hold a value which is read from standard input or a prompt. */
  | { readonly kind: 'leaked' };

export interface RevokeOptions {
  /** Absent: every server. */
  readonly server: string | undefined;
  readonly whose: RevokeWhose;
  readonly reason: string | undefined;
  readonly scope: ListScope;
  readonly assumeYes: boolean;
  readonly source: KeySource;
}

type Row = RevokedKey & { readonly namespace: string };

interface Answers {
  readonly rows: Row[];
  readonly notes: string[];
  more: number;
  fingerprint: string | undefined;
}

/** Puts keys out of use, at once and for good. Resolves whether all of it was done. */
export async function revoke(world: World, options: RevokeOptions): Promise<boolean> {
  if (!options.assumeYes) await ask(world, options);
  const leaked = options.whose.kind === 'leaked' ? await readLeaked(options.source) : undefined;
  const answers: Answers = { rows: [], notes: [], more: 0, fingerprint: undefined };
  try {
    for (const namespace of options.scope.namespaces) {
      await revokeIn({ ...world, namespace }, options, { leaked, answers });
    }
  } finally {
    leaked?.fill(0);
  }
  print(world, options, answers);
  return answers.notes.length === 0;
}

async function revokeIn(
  world: World,
  { server, whose, reason, scope }: RevokeOptions,
  { leaked, answers }: { readonly leaked: Buffer | undefined; readonly answers: Answers },
): Promise<void> {
  const { namespace, token } = world;
  const control: RevokeControl = {
    v: 1,
    operation: 'revoke',
    ...whoseField(whose),
    ...(server === undefined ? {} : { server }),
    ...(reason === undefined ? {} : { reason }),
    ...(token === undefined ? {} : { token }),
  };
  const headers = leaked === undefined ? [] : [{ name: leakedValueName, value: leaked }];
  try {
    take(answers, namespace, await askOperator(world, { control, headers }));
  } catch (error) {
    // Of several namespaces each is done that can be: whoever is in a hurry starts with what they may do.
    if (!scope.everywhere || !(error instanceof CliError)) throw error;
    answers.notes.push(`${namespace} is left out: ${error.message}`);
  }
}

function take(answers: Answers, namespace: string, answer: RevokeAnswer): void {
  answers.rows.push(...answer.revoked.map((key) => ({ ...key, namespace })));
  answers.more += answer.more;
  answers.fingerprint ??= answer.fingerprint;
  if (answer.leftOut.length > 0) {
    answers.notes.push(
      `you may not revoke keys of ${answer.leftOut.join(', ')} in ${namespace}: they were not looked at`,
    );
  }
  if (answer.unread > 0) {
    answers.notes.push(
      `${answer.unread} keys in ${namespace} do not open: nobody can say what they hold, and none is in use`,
    );
  }
}

function whoseField(whose: RevokeWhose): Pick<RevokeControl, 'whose' | 'user' | 'fingerprint'> {
  switch (whose.kind) {
    case 'own':
      return { whose: 'own' };
    case 'user':
      return { whose: 'user', user: whose.user };
    case 'everybody':
    case 'leaked':
      return { whose: 'everybody' };
    case 'fingerprint':
      return { whose: 'everybody', fingerprint: whose.fingerprint };
  }
}

async function ask(world: World, { source, whose, server, scope }: RevokeOptions): Promise<void> {
  if (source.kind !== 'terminal') throw new CliError('Usage', 'there is no terminal to ask on; give --yes');
  const place = scope.everywhere ? 'all namespaces' : world.namespace;
  const what = `${keysOf[whose.kind]}${server === undefined ? '' : ` for ${server}`} in ${place}`;
  if (!(await confirm(source.terminal, world.say, `Put out of use, now and for good, ${what}?`))) {
    throw new CliError('Usage', 'nothing was revoked');
  }
}

const keysOf: Readonly<Record<RevokeWhose['kind'], string>> = {
  own: 'your key',
  user: "that user's keys",
  everybody: "everybody's keys",
  fingerprint: 'all keys with that fingerprint',
  leaked: 'all keys with the value that has leaked',
};

function readLeaked(source: KeySource): Promise<Buffer> {
  if (source.kind === 'pipe') return readAll(source.input);
  return askSecret(source.terminal, source.say, 'Value that has leaked: ');
}

function print(world: World, { whose, scope }: RevokeOptions, { rows, notes, more, fingerprint }: Answers): void {
  for (const note of notes) world.say(`note: ${note}\n`);
  if (world.output === 'json') {
    return world.print(JSON.stringify({ revoked: rows, more, fingerprint, notes }, undefined, 2));
  }
  if (fingerprint !== undefined) world.say(`fingerprint: ${fingerprint}\n`);
  if (rows.length === 0) return world.print('nothing was revoked: there is no such key');
  const cells = rows.map(({ namespace, server, user, version }) => [
    ...(scope.everywhere ? [namespace] : []),
    server,
    owner(user),
    version === undefined ? 'none' : String(version),
  ]);
  world.print(table([...(scope.everywhere ? ['NAMESPACE'] : []), 'SERVER', 'USER', 'REVOKED VERSION'], cells));
  if (more > 0) world.print(`and ${more} more; the audit log has all of them`);
  const who = whose.kind === 'own' ? 'set a new one' : 'their users set new ones';
  world.say(`have the key revoked where it was issued as well; then ${who}: kubectl mcpkeys set <server>\n`);
}
