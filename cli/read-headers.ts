import type { ReadStream } from 'node:tty';
import type { HeaderField } from './contract/header-list.ts';
import { checkKeyValue } from './contract/key-value.ts';
import type { DeclaredHeader } from './contract/responses.ts';
import { CliError } from './errors.ts';
import { askSecret, readAll } from './prompt.ts';

/** Where keys come from: the terminal (no echo), or whatever is piped in. */
export type KeySource =
  | { readonly kind: 'terminal'; readonly terminal: ReadStream; readonly say: (text: string) => void }
  | { readonly kind: 'pipe'; readonly input: AsyncIterable<Buffer> };

/** The headers of `declared` that `asked` names (any letter case), or all of them. */
export function chooseHeaders(
  declared: readonly DeclaredHeader[],
  asked: readonly string[],
): readonly DeclaredHeader[] {
  if (asked.length === 0) return declared;
  return asked.map((name) => {
    const found = declared.find((header) => header.name.toLowerCase() === name.toLowerCase());
    if (found !== undefined) return found;
    throw new CliError('Usage', `the server declares no header ${name}`, [`it declares: ${namesOf(declared)}`]);
  });
}

/** Reads one value for each header, normalised and checked as the operator will. The caller zeroes the values. */
export async function readHeaders(
  source: KeySource,
  headers: readonly DeclaredHeader[],
): Promise<readonly HeaderField[]> {
  const typed =
    source.kind === 'terminal' ? await askEach(source, headers) : splitInput(await readAll(source.input), headers);
  return typed.map(({ header, value }) => {
    const result = checkKeyValue(value, header);
    if (result.kind === 'valid') return { name: header.name, value };
    throw new CliError('Usage', `${header.name}: ${result.message}`);
  });
}

interface Typed {
  readonly header: DeclaredHeader;
  readonly value: Buffer;
}

/** Optional headers may be left empty at the prompt. */
async function askEach(
  source: Extract<KeySource, { kind: 'terminal' }>,
  headers: readonly DeclaredHeader[],
): Promise<readonly Typed[]> {
  const typed: Typed[] = [];
  for (const header of headers) {
    if (header.help !== undefined) source.say(`${header.help}\n`);
    if (header.helpURL !== undefined) source.say(`${header.helpURL}\n`);
    const optional = header.required ? '' : ' (optional, Enter to skip)';
    const value = await askSecret(source.terminal, source.say, `${header.title ?? header.name}${optional}: `);
    if (value.byteLength > 0 || header.required) typed.push({ header, value });
  }
  if (typed.length === 0) throw new CliError('Usage', 'nothing was typed, so nothing was stored');
  return typed;
}

/** One header: the whole input is its value. Several: one `Name: value` line each. */
function splitInput(input: Buffer, headers: readonly DeclaredHeader[]): readonly Typed[] {
  const [only, ...more] = headers;
  if (only === undefined) throw new CliError('Refused', 'this server needs no key');
  if (more.length === 0) return [{ header: only, value: input }];
  const typed = lines(input).map((line) => typedLine(line, headers));
  if (typed.length > 0) return typed;
  throw new CliError('Usage', 'standard input is empty, so nothing was stored', [
    `give one line for each of: ${namesOf(headers)}`,
  ]);
}

function typedLine(line: Buffer, headers: readonly DeclaredHeader[]): Typed {
  const colon = line.indexOf(0x3a);
  const name = colon < 0 ? '' : line.subarray(0, colon).toString('latin1').trim().toLowerCase();
  const header = headers.find((candidate) => candidate.name.toLowerCase() === name);
  // The line may hold a key, so it is not shown.
  if (header === undefined) {
    throw new CliError('Usage', `this server has several headers: give lines of the form "Name: value"`, [
      `names: ${namesOf(headers)}`,
    ]);
  }
  return { header, value: line.subarray(colon + 1) };
}

function lines(input: Buffer): readonly Buffer[] {
  const found: Buffer[] = [];
  let start = 0;
  for (let at = 0; at <= input.byteLength; at++) {
    if (at < input.byteLength && input[at] !== 0x0a) continue;
    const line = input.subarray(start, at);
    if (line.some((byte) => byte > 0x20)) found.push(line);
    start = at + 1;
  }
  return found;
}

function namesOf(headers: readonly DeclaredHeader[]): string {
  return headers.map((header) => header.name).join(', ');
}
