/** A code span that survives a table cell. */
export function code(text: string): string {
  const fence = text.includes('`') ? '``' : '`';
  const pad = text.includes('`') ? ' ' : '';
  return `${fence}${pad}${text.replaceAll('|', '\\|')}${pad}${fence}`;
}

/** Prose of the code, so that `<name>` is not taken for a tag. */
export function prose(text: string): string {
  return text.replaceAll('<', '\\<').replaceAll('|', '\\|').replaceAll('\n', ' ').trim();
}

export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  return [tableLine(header), `|${header.map(() => '---').join('|')}|`, ...rows.map(tableLine)].join('\n');
}

function tableLine(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('\n', ' ').trim()).join(' | ')} |`;
}
