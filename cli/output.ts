/** Columns padded to their widest cell, as kubectl prints them. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((cell, column) => Math.max(cell.length, ...rows.map((row) => (row[column] ?? '').length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('   ')
      .trimEnd();
  return [header, ...rows].map(line).join('\n');
}

const marks: Readonly<Record<string, string>> = {
  Configured: '🟢',
  Missing: '🟡',
  Invalid: '🔴',
  Expired: '⚪',
};

/** `🟢 Configured`; a state without a mark of its own stands alone. */
export function stateWithMark(state: string): string {
  const mark = marks[state];
  return mark === undefined ? state : `${mark} ${state}`;
}

/** Whose keys are meant. The operator names the cluster itself as issuer `kubernetes`. */
export function owner({ issuer, name }: { readonly issuer: string; readonly name: string }): string {
  return `${name} (${issuer === kubernetesIssuer ? 'Kubernetes' : issuer})`;
}

export const kubernetesIssuer = 'kubernetes';

/** `3d`, `5h`, `12m`, `8s`, as in kubectl's AGE column. */
export function age(since: string, now: Date): string {
  const seconds = Math.max(0, Math.floor((now.getTime() - Date.parse(since)) / 1000));
  if (Number.isNaN(seconds)) return '';
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** Controls of a terminal (C0 but tab and line feed, DEL, C1) and of text direction. */
// oxlint-disable-next-line no-control-regex
const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/gu;

/**
 * Text that may come from somebody else, made harmless for a terminal: an administrator's title must not move the cursor, or say
 * something in the name of this program.
 */
export function printable(text: string): string {
  return text.replace(controls, '\ufffd');
}
