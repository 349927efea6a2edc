import { elementsOf, type Member, membersOf, rootOf, type Span } from './json-spans.ts';
import type { Era } from './message.ts';
import type { ToolFilter } from './tool-rules.ts';

/** What becomes of a message of the server when tools are hidden. */
export type FilteredMessage =
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'changed'; readonly text: string }
  /** It may be a list of tools that somebody can read, and is none that can be judged. */
  | { readonly kind: 'unreadable' };

/**
 * Takes the tools that nobody may call out of the answer to `tools/list`. A message is known as one by its shape, not by its id:
 * on a stream that was resumed nobody knows what was asked. Everything else of the text stays as it is written. A list that was
 * judged is for its user alone (2026-07-28, "Caching"), and one without `cacheScope` counts as public.
 */
export function filterToolList(text: string, filter: ToolFilter, era: Era): FilteredMessage {
  if (!mayHoldTools.test(text)) return unchanged;
  const kind = kindOfJson(text);
  // No JSON is no list for anybody, unless it is nearly JSON, which some parsers take.
  if (kind === 'none') return /^[\s\uFEFF]*[[{]/.test(text) ? unreadable : unchanged;
  if (kind === 'scalar') return unchanged;
  if (kind === 'array') return unreadable;
  const result = memberOf(text, rootOf(text), 'result');
  if (result === undefined) return unchanged;
  if (result === 'ambiguous') return unreadable;
  return text[result.start] === '{' ? filterResult(text, result, { filter, era }) : unchanged;
}

const unchanged: FilteredMessage = { kind: 'unchanged' };
const unreadable: FilteredMessage = { kind: 'unreadable' };

/** The key in any letters, as some parsers do not mind case, or an escape that could hide it. */
const mayHoldTools = /"tools"|\\u/i;

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
function memberOf(text: string, object: Span, name: string): Member | 'ambiguous' | undefined {
  return onlyOne(membersOf(text, object), name);
}

function onlyOne(members: readonly Member[], name: string): Member | 'ambiguous' | undefined {
  const alike = members.filter(({ key }) => key.toLowerCase() === name.toLowerCase());
  const [first] = alike;
  return alike.length > 1 || (first !== undefined && first.key !== name) ? 'ambiguous' : first;
}

interface Judge {
  readonly filter: ToolFilter;
  readonly era: Era;
}

function filterResult(text: string, result: Span, { filter, era }: Judge): FilteredMessage {
  const members = membersOf(text, result);
  const tools = onlyOne(members, 'tools');
  if (tools === undefined) return unchanged;
  if (tools === 'ambiguous' || text[tools.start] !== '[') return unreadable;
  const scope = onlyOne(members, 'cacheScope');
  if (scope === 'ambiguous') return unreadable;
  const edits = [...editTools(text, tools, filter), ...editScope(text, { result, scope, era })];
  return edits.length === 0 ? unchanged : { kind: 'changed', text: edited(text, edits) };
}

interface Edit extends Span {
  readonly text: string;
}

function editTools(text: string, tools: Span, filter: ToolFilter): readonly Edit[] {
  const elements = elementsOf(text, tools);
  const kept = elements.filter((element) => isAllowed(text, element, filter));
  if (kept.length === elements.length) return [];
  const list = kept.map(({ start, end }) => text.slice(start, end)).join(',');
  return [{ start: tools.start, end: tools.end, text: `[${list}]` }];
}

/** What is no tool with one name is none that a policy allows. */
function isAllowed(text: string, element: Span, filter: ToolFilter): boolean {
  if (text[element.start] !== '{') return false;
  const name = memberOf(text, element, 'name');
  if (name === undefined || name === 'ambiguous' || text[name.start] !== '"') return false;
  return filter.allows(String(JSON.parse(text.slice(name.start, name.end))));
}

interface Scope {
  readonly result: Span;
  readonly scope: Member | undefined;
  readonly era: Era;
}

function editScope(text: string, { result, scope, era }: Scope): readonly Edit[] {
  if (scope !== undefined) {
    return text.slice(scope.start, scope.end) === '"private"' ? [] : [{ ...scope, text: '"private"' }];
  }
  // The result has a member, its tools, so a comma is right.
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
