import { elementsOf, type Member, membersOf, rootOf, type Span } from './json-spans.ts';
import type { Era } from './message.ts';
import { foldKey } from './watched-keys.ts';

/** What becomes of a message of the server when some of a list is hidden. */
export type FilteredMessage =
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'changed'; readonly text: string }
  /** It may be a list that somebody can read, and is none that can be judged. */
  | { readonly kind: 'unreadable' };

/** A list that a result has as a member. */
export interface ListShape {
  readonly list: string;
  /** The member of an element that it is judged by: a text. */
  readonly name: string;
  /** Whether a text may have such a list in it, as far as is told without reading it; never false for one that has. */
  readonly mayHold: RegExp;
}

export interface ListJudge {
  readonly allows: (name: string) => boolean;
  /** The revision by whose rules the answer is marked as its user's alone; absent where lists are not kept by anybody. */
  readonly markedFor?: Era;
}

/**
 * Takes the elements that are not allowed out of the list in a result. A message is known by its shape, not by its id: on a stream
 * that was resumed nobody knows what was asked. Everything else of the text stays as it is written. A list that was judged is for its
 * user alone (2026-07-28, "Caching"), and one without `cacheScope` counts as public. Whatever two parsers could read in two ways is
 * unreadable: a member twice, or in other letters, or another encoding.
 */
export function filterResultList(text: string, shape: ListShape, judge: ListJudge): FilteredMessage {
  if (!shape.mayHold.test(text)) return unchanged;
  const kind = kindOfJson(text);
  // No JSON is no list for anybody, unless it is nearly JSON, which some parsers take, or JSON in UTF-16 or UTF-32.
  if (kind === 'none') return /^[\s\uFEFF\uFFFD\0]*[[{]/.test(text) ? unreadable : unchanged;
  if (kind === 'scalar') return unchanged;
  if (kind === 'array') return unreadable;
  const result = onlyMember(membersOf(text, rootOf(text)), 'result');
  if (result === undefined) return unchanged;
  if (result === 'ambiguous') return unreadable;
  return text[result.start] === '{' ? filterResult(text, result, { shape, ...judge }) : unchanged;
}

const unchanged: FilteredMessage = { kind: 'unchanged' };
const unreadable: FilteredMessage = { kind: 'unreadable' };

function kindOfJson(text: string): 'object' | 'array' | 'scalar' | 'none' {
  try {
    const value: unknown = JSON.parse(text);
    if (Array.isArray(value)) return 'array';
    return typeof value === 'object' && value !== null ? 'object' : 'scalar';
  } catch {
    return 'none';
  }
}

/** Two members that one parser or another takes for the same cannot be judged. */
export function onlyMember(members: readonly Member[], name: string): Member | 'ambiguous' | undefined {
  const folded = foldKey(name);
  const alike = members.filter(({ key }) => foldKey(key) === folded);
  const [first] = alike;
  return alike.length > 1 || (first !== undefined && first.key !== name) ? 'ambiguous' : first;
}

/** The text that a member is; undefined when it is another kind of value. */
export function textOfMember(text: string, { start, end }: Span): string | undefined {
  return text[start] === '"' ? String(JSON.parse(text.slice(start, end))) : undefined;
}

type Judge = ListJudge & { readonly shape: ListShape };

function filterResult(text: string, result: Span, judge: Judge): FilteredMessage {
  const members = membersOf(text, result);
  const list = onlyMember(members, judge.shape.list);
  if (list === undefined) return unchanged;
  if (list === 'ambiguous' || text[list.start] !== '[') return unreadable;
  const scope = onlyMember(members, 'cacheScope');
  if (scope === 'ambiguous') return unreadable;
  const edits = [...editList(text, list, judge), ...editScope(text, { result, scope, era: judge.markedFor })];
  return edits.length === 0 ? unchanged : { kind: 'changed', text: edited(text, edits) };
}

interface Edit extends Span {
  readonly text: string;
}

function editList(text: string, list: Span, judge: Judge): readonly Edit[] {
  const elements = elementsOf(text, list);
  const kept = elements.filter((element) => isAllowed(text, element, judge));
  if (kept.length === elements.length) return [];
  const left = kept.map(({ start, end }) => text.slice(start, end)).join(',');
  return [{ start: list.start, end: list.end, text: `[${left}]` }];
}

/** What is no object with one name is none that is allowed. */
function isAllowed(text: string, element: Span, { shape, allows }: Judge): boolean {
  if (text[element.start] !== '{') return false;
  const member = onlyMember(membersOf(text, element), shape.name);
  if (member === undefined || member === 'ambiguous') return false;
  const name = textOfMember(text, member);
  return name !== undefined && allows(name);
}

interface Scope {
  readonly result: Span;
  readonly scope: Member | undefined;
  readonly era: Era | undefined;
}

function editScope(text: string, { result, scope, era }: Scope): readonly Edit[] {
  if (era === undefined) return [];
  if (scope !== undefined) {
    return text.slice(scope.start, scope.end) === '"private"' ? [] : [{ ...scope, text: '"private"' }];
  }
  // The result has a member, its list, so a comma is right.
  return era === 'modern' ? [{ start: result.start + 1, end: result.start + 1, text: '"cacheScope":"private",' }] : [];
}

function edited(text: string, edits: readonly Edit[]): string {
  let out = '';
  let at = 0;
  for (const edit of edits.toSorted((left, right) => left.start - right.start)) {
    out += text.slice(at, edit.start) + edit.text;
    at = edit.end;
  }
  return out + text.slice(at);
}
