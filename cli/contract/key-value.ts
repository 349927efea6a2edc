import { matchWhole } from './key-pattern.ts';

/**
 * What a typed key becomes before it is stored. The CLI asks for an early hint, the operator decides; both by this one function.
 * It works on bytes and gives views of them back, because a key must not become a string.
 */

/** What the McpServer says about one header. */
export interface KeyFormat {
  /** The header. */
  readonly name?: string;
  /** The field value, with `{value}` exactly once. */
  readonly template: string;
  readonly prefixes?: readonly string[];
  /** RE2 expression for the whole value. */
  readonly pattern?: string;
  /** Characters, which are bytes: a key is ASCII. */
  readonly minLength?: number;
  readonly maxLength?: number;
  /** Made up; it keeps the rules. */
  readonly example?: string;
  /** The administrator's own sentence for a value that does not keep the rules. */
  readonly message?: string;
}

export type KeyValueProblem =
  | 'Empty'
  | 'Quoted'
  | 'NameIncluded'
  | 'LineBreakInside'
  | 'SpaceInside'
  | 'NotVisibleAscii'
  | 'PrefixDoubled'
  | 'PrefixMissing'
  | 'TooShort'
  | 'TooLong'
  | 'PatternMismatch'
  | 'PatternUnusable';

/** `value` is a view of the input. `message` and `notices` are sentences for the user and never hold anything of the value. */
export type KeyValueResult =
  | { readonly kind: 'valid'; readonly value: Buffer; readonly notices: readonly string[] }
  | { readonly kind: 'invalid'; readonly problem: KeyValueProblem; readonly message: string };

/** Longest field value, template applied. The sidecar has the same limit. */
export const fieldValueBytesMax = 8_192;

const placeholder = '{value}';

/** Normalises and checks what a user typed for one header. */
export function checkKeyValue(typed: Uint8Array, format: KeyFormat): KeyValueResult {
  const bytes = Buffer.from(typed.buffer, typed.byteOffset, typed.byteLength);
  return checkPasted(trim(bytes), format, { name: true, quotes: true });
}

/** What may still be left out of a value, once each: a second one is a slip that nobody can read for sure. */
interface Removable {
  readonly name: boolean;
  readonly quotes: boolean;
}

/** Leaves out what came along with the key, as far as the declaration shows that it is none of it. */
function checkPasted(value: Buffer, format: KeyFormat, removable: Removable): KeyValueResult {
  const named = removable.name ? fieldNamed(value, format) : undefined;
  if (named !== undefined) {
    return noting(checkPasted(named, format, { ...removable, name: false }), `"${format.name}:" was left out.`);
  }
  const lead = leadOf(format.template);
  const undoubled = withoutDoubledLead(value, lead, format.prefixes ?? []);
  if (undoubled.kind === 'ambiguous') return invalid('PrefixDoubled', doubledMessage(lead));
  const result = checkUndoubled(undoubled.value, format, removable);
  return undoubled.kind === 'stripped'
    ? noting(result, `"${lead.trim()}" was left out: the server's template adds it.`)
    : result;
}

function checkUndoubled(value: Buffer, format: KeyFormat, removable: Removable): KeyValueResult {
  if (isQuoted(value) && removable.quotes && (format.pattern !== undefined || format.prefixes !== undefined)) {
    const inside = checkPasted(trim(value.subarray(1, -1)), format, { ...removable, quotes: false });
    if (inside.kind === 'valid') return noting(inside, 'The quotes around it were left out.');
  }
  return problemOf(value, format) ?? { kind: 'valid', value, notices: [] };
}

function noting(result: KeyValueResult, notice: string): KeyValueResult {
  return result.kind === 'valid' ? { ...result, notices: [notice, ...result.notices] } : result;
}

function problemOf(value: Buffer, format: KeyFormat): KeyValueResult | undefined {
  if (value.byteLength === 0) return invalid('Empty', 'it is empty; paste the whole key');
  if (isQuoted(value)) return invalid('Quoted', 'it is in quotes; paste only the key itself, without them');
  const name = nameBefore(value, format.name);
  if (name !== undefined) return invalid('NameIncluded', `it begins with "${name}:"; paste only the key itself`);
  const characterProblem = characterProblemOf(value, format.template === placeholder);
  if (characterProblem !== undefined) return characterProblem;
  if (Buffer.byteLength(format.template) - placeholder.length + value.byteLength > fieldValueBytesMax) {
    return invalid('TooLong', `it is longer than ${fieldValueBytesMax} bytes; check that you copied only the key`);
  }
  return ruleProblemOf(value, format);
}

/** The rules of the administrator. Their own sentence, where there is one, stands for all of them. */
function ruleProblemOf(value: Buffer, format: KeyFormat): KeyValueResult | undefined {
  const broken = brokenPrefixOrLength(value, format) ?? brokenPattern(value, format);
  if (broken === undefined) return undefined;
  const isKeysFault = broken.problem !== 'PatternUnusable';
  return invalid(broken.problem, (isKeysFault ? format.message : undefined) ?? broken.advice);
}

interface BrokenRule {
  readonly problem: KeyValueProblem;
  readonly advice: string;
}

function brokenPrefixOrLength(value: Buffer, format: KeyFormat): BrokenRule | undefined {
  const { prefixes = [], minLength = 0, maxLength = fieldValueBytesMax } = format;
  if (prefixes.length > 0 && !beginsWithAny(value, prefixes)) {
    return { problem: 'PrefixMissing', advice: `it should begin with ${listed(prefixes)}; check which key you copied` };
  }
  if (value.byteLength < minLength) {
    return {
      problem: 'TooShort',
      advice: `it has fewer than ${minLength} characters; check that you copied all of it`,
    };
  }
  if (value.byteLength <= maxLength) return undefined;
  return { problem: 'TooLong', advice: `it has more than ${maxLength} characters; check that you copied only the key` };
}

function brokenPattern(value: Buffer, { pattern, example }: KeyFormat): BrokenRule | undefined {
  switch (pattern === undefined ? 'matches' : matchWhole(pattern, value)) {
    case 'matches':
      return undefined;
    case 'differs': {
      const like = example === undefined ? '' : ` such as ${example}`;
      return {
        problem: 'PatternMismatch',
        advice: `it should be of the form ${pattern}${like}; check which key you copied`,
      };
    }
    case 'unusable':
      return { problem: 'PatternUnusable', advice: 'the rule for it cannot be used; tell whoever wrote the McpServer' };
  }
}

/** What follows the name of the field, where the whole field was pasted: its own name, and then what the template shows. */
function fieldNamed(value: Buffer, { name, template }: KeyFormat): Buffer | undefined {
  if (name === undefined || !beginsWithIgnoringCase(value, `${name}:`)) return undefined;
  const field = trim(value.subarray(name.length + 1));
  return beginsWithIgnoringCase(field, leadOf(template)) ? field : undefined;
}

/** The same quote at both ends: they came along from a file or a shell, and no key has them. */
function isQuoted(value: Buffer): boolean {
  const [first, last] = [value.at(0), value.at(-1)];
  return value.byteLength > 1 && first === last && quotes.has(first ?? 0);
}

const quotes: ReadonlySet<number> = new Set(Buffer.from('"\'`'));

/** The name of the header that was pasted with its value; a scheme such as `Bearer` may follow it. */
function nameBefore(value: Buffer, own: string | undefined): string | undefined {
  const names = own === undefined ? [authorization] : [own, authorization];
  return names.find((name) => beginsWithIgnoringCase(value, `${name}:`));
}

const authorization = 'Authorization';

/** RFC 9110 section 5.5 allows blanks inside a field value; a key has none, so only a value that is the whole field may have. */
function characterProblemOf(value: Buffer, isWholeField: boolean): KeyValueResult | undefined {
  for (const byte of value) {
    if (byte === lineFeed || byte === carriageReturn) {
      return invalid('LineBreakInside', 'it has a line break inside; paste it as one line');
    }
    if (byte < space || byte > tilde) {
      return invalid('NotVisibleAscii', 'it has a character that no key has; copy it again from where it was issued');
    }
    if (byte === space && !isWholeField)
      return invalid('SpaceInside', 'it has a blank inside; paste only the key itself');
  }
  return undefined;
}

const [tab, lineFeed, carriageReturn, space, tilde] = [0x09, 0x0a, 0x0d, 0x20, 0x7e];
const blanks: ReadonlySet<number> = new Set([tab, lineFeed, carriageReturn, space]);

function trim(bytes: Buffer): Buffer {
  let [start, end] = [0, bytes.byteLength];
  while (start < end && blanks.has(bytes.readUInt8(start))) start += 1;
  while (end > start && blanks.has(bytes.readUInt8(end - 1))) end -= 1;
  return bytes.subarray(start, end);
}

/** What the template puts before the value, for example `Bearer `. */
function leadOf(template: string): string {
  const index = template.indexOf(placeholder);
  return index < 0 ? '' : template.slice(0, index);
}

type Undoubled = { readonly kind: 'asTyped' | 'stripped'; readonly value: Buffer } | { readonly kind: 'ambiguous' };

/**
 * "Bearer ghp_x" for the template "Bearer {value}" is a slip: a key has no blank inside, so a lead that ends with one is never part
 * of the key. A lead without a blank might be; then only the declared prefixes can tell, and without them the user has to.
 */
function withoutDoubledLead(value: Buffer, lead: string, prefixes: readonly string[]): Undoubled {
  if (lead.trim() === '') return { kind: 'asTyped', value };
  if (value.byteLength === lead.trim().length && beginsWithIgnoringCase(value, lead.trim()))
    return { kind: 'ambiguous' };
  if (!beginsWithIgnoringCase(value, lead)) return { kind: 'asTyped', value };
  const rest = trim(value.subarray(Buffer.byteLength(lead)));
  if (rest.byteLength === 0 || beginsWithIgnoringCase(rest, lead)) return { kind: 'ambiguous' };
  if (lead.endsWith(' ')) return { kind: 'stripped', value: rest };
  const [typedFits, restFits] = [beginsWithAny(value, prefixes), beginsWithAny(rest, prefixes)];
  if (typedFits === restFits) return { kind: 'ambiguous' };
  return typedFits ? { kind: 'asTyped', value } : { kind: 'stripped', value: rest };
}

function doubledMessage(lead: string): string {
  return `it begins with "${lead.trim()}", which the server's template adds already; paste only what comes after it`;
}

function beginsWithAny(value: Buffer, prefixes: readonly string[]): boolean {
  return prefixes.some((prefix) => {
    const bytes = Buffer.from(prefix);
    return value.subarray(0, bytes.byteLength).equals(bytes);
  });
}

function beginsWithIgnoringCase(value: Buffer, text: string): boolean {
  const bytes = Buffer.from(text.toLowerCase());
  return bytes.byteLength <= value.byteLength && bytes.every((byte, index) => lower(value.readUInt8(index)) === byte);
}

function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
}

function listed(prefixes: readonly string[]): string {
  return prefixes.length === 1 ? String(prefixes[0]) : `${prefixes.slice(0, -1).join(', ')} or ${prefixes.at(-1)}`;
}

function invalid(problem: KeyValueProblem, advice: string): KeyValueResult {
  return { kind: 'invalid', problem, message: `Invalid API key format: ${advice}` };
}
