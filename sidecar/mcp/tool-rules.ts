import type { ToolRules } from '../contract/watch.ts';

/** Which tools may be called. */
export interface ToolFilter {
  allows(tool: string): boolean;
}

/** Longest tool name that is judged, in UTF-16 units: a longer one is no tool of a server that has rules. */
export const toolNameCharsMax = 1_024;
/** Names whose answer is remembered; a server has fewer tools, a client that makes names up only loses the memory. */
const answersMax = 1_024;

export const noTool: ToolFilter = { allows: () => false };

/** Undefined when every tool may be called, so that nobody has to ask. */
export function toolFilter(rules: readonly ToolRules[] = []): ToolFilter | undefined {
  if (rules.length === 0) return undefined;
  const compiled = rules.map(({ allow, deny }) => ({
    allowed: allow === undefined ? undefined : compilePatterns(allow),
    denied: compilePatterns(deny ?? []),
  }));
  const answers = new Map<string, boolean>();
  return {
    allows(tool) {
      const known = answers.get(tool);
      if (known !== undefined) return known;
      if (tool.length > toolNameCharsMax) return false;
      const allows = compiled.every(({ allowed, denied }) => (allowed?.(tool) ?? true) && !denied(tool));
      if (answers.size >= answersMax) answers.clear();
      answers.set(tool, allows);
      return allows;
    },
  };
}

type Matches = (text: string) => boolean;

function compilePatterns(patterns: readonly string[]): Matches {
  const exact = new Set(patterns.filter((pattern) => !pattern.includes('*')));
  const globs = patterns.filter((pattern) => pattern.includes('*')).map(compileGlob);
  return (text) => exact.has(text) || globs.some((matches) => matches(text));
}

/**
 * `*` stands for any characters, none among them. The pieces between stars are looked for from left to right, each once: never
 * more work than the text is long for each piece, whatever the pattern.
 */
function compileGlob(pattern: string): Matches {
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop() ?? '';
  const middle = rest.filter((piece) => piece !== '');
  return (text) => {
    if (text.length < first.length + last.length) return false;
    if (!text.startsWith(first) || !text.endsWith(last)) return false;
    return containsInTurn(text.slice(first.length, text.length - last.length), middle);
  };
}

function containsInTurn(text: string, pieces: readonly string[]): boolean {
  let from = 0;
  for (const piece of pieces) {
    const at = text.indexOf(piece, from);
    if (at === -1) return false;
    from = at + piece.length;
  }
  return true;
}
