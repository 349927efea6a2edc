/** One documented value of a chart. */
export interface ChartValue {
  /** Dotted. */
  readonly path: string;
  readonly comment: string;
  /** Default, as compact JSON. */
  readonly default: string;
}

interface Line {
  readonly indent: number;
  readonly comment?: string;
  readonly key?: string;
  /** There is a value on the same line. */
  readonly hasValue?: boolean;
}

/**
 * The documented values of a values.yaml, in order: a key with a comment above it is one value, with all that is below it; a key
 * without one only groups others.
 * @throws Error on a value without a comment
 */
export function documentedValues(yaml: string, parsed: unknown): readonly ChartValue[] {
  const values: ChartValue[] = [];
  const path: { readonly key: string; readonly indent: number }[] = [];
  let comment = '';
  let insideIndent = Infinity;
  for (const line of yaml.split('\n').map(readLine)) {
    if (line === undefined || line.indent > insideIndent) continue;
    insideIndent = Infinity;
    if (line.key === undefined) {
      comment = `${comment} ${line.comment ?? ''}`.trim();
      continue;
    }
    while ((path.at(-1)?.indent ?? -1) >= line.indent) path.pop();
    path.push({ key: line.key, indent: line.indent });
    const keys = path.map(({ key }) => key);
    if (comment !== '') {
      values.push({ path: keys.join('.'), comment, default: JSON.stringify(valueAt(parsed, keys)) });
      insideIndent = line.indent;
    } else if (line.hasValue === true) throw new Error(`${keys.join('.')} has no comment above it`);
    comment = '';
  }
  return values;
}

/** The table of the values for a README. */
export function valuesTable(values: readonly ChartValue[]): string {
  const rows = values.map(
    (value) => `| \`${value.path}\` | \`${value.default}\` | ${value.comment.replaceAll('|', '\\|')} |`,
  );
  return ['| Value | Default | What it does |', '|---|---|---|', ...rows, ''].join('\n');
}

function readLine(text: string): Line | undefined {
  const indent = text.length - text.trimStart().length;
  const comment = /^\s*#\s?(.*)$/u.exec(text)?.[1];
  if (comment !== undefined) return { indent, comment };
  const [, key, rest] = /^\s*([A-Za-z][A-Za-z0-9]*):(.*)$/u.exec(text) ?? [];
  return key === undefined ? undefined : { indent, key, hasValue: rest?.trim() !== '' };
}

function valueAt(value: unknown, keys: readonly string[]): unknown {
  const [key, ...rest] = keys;
  if (key === undefined) return value;
  if (typeof value !== 'object' || value === null) return undefined;
  return valueAt(Object.entries(value).find(([name]) => name === key)?.[1], rest);
}
