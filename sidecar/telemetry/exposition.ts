/** Metrics in the Prometheus text format 0.0.4. Small, because it is in every pod. */

export interface Metric {
  expose(): string;
}

/** Most label combinations of one metric. More would be a bug: labels come from closed sets. */
export const seriesMax = 500;

export interface MetricText {
  readonly name: string;
  readonly help: string;
}

export class Counter implements Metric {
  readonly #text: MetricText;
  readonly #series = new Map<string, number>();

  constructor(text: MetricText) {
    this.#text = text;
  }

  /** `labels` as they stand between the braces, see `joinLabels`. */
  add(labels = '', by = 1): void {
    const value = this.#series.get(labels);
    if (value === undefined && this.#series.size >= seriesMax) return;
    this.#series.set(labels, (value ?? 0) + by);
  }

  expose(): string {
    const lines = [...this.#series].map(([labels, value]) => line(this.#text.name, labels, value));
    return block(this.#text, 'counter', lines);
  }
}

/** A value that is read when it is asked for. */
export class Reading implements Metric {
  readonly #text: MetricText & { readonly type: 'gauge' | 'counter' };
  readonly #read: () => number;

  constructor(text: MetricText & { readonly type: 'gauge' | 'counter' }, read: () => number) {
    this.#text = text;
    this.#read = read;
  }

  expose(): string {
    return block(this.#text, this.#text.type, [line(this.#text.name, '', this.#read())]);
  }
}

interface Buckets {
  readonly counts: number[];
  sum: number;
}

export class Histogram implements Metric {
  readonly #text: MetricText;
  readonly #bounds: readonly number[];
  readonly #series = new Map<string, Buckets>();

  constructor(text: MetricText, bounds: readonly number[]) {
    this.#text = text;
    this.#bounds = bounds;
  }

  observe(labels: string, value: number): void {
    const buckets = this.#series.get(labels) ?? this.#begin(labels);
    if (buckets === undefined) return;
    const index = this.#bounds.findIndex((bound) => value <= bound);
    const at = index === -1 ? this.#bounds.length : index;
    buckets.counts[at] = (buckets.counts[at] ?? 0) + 1;
    buckets.sum += value;
  }

  expose(): string {
    const lines = [...this.#series].flatMap(([labels, buckets]) => this.#lines(labels, buckets));
    return block(this.#text, 'histogram', lines);
  }

  #begin(labels: string): Buckets | undefined {
    if (this.#series.size >= seriesMax) return undefined;
    const buckets = { counts: Array.from({ length: this.#bounds.length + 1 }, () => 0), sum: 0 };
    this.#series.set(labels, buckets);
    return buckets;
  }

  #lines(labels: string, { counts, sum }: Buckets): string[] {
    const { name } = this.#text;
    let total = 0;
    const bounds = [...this.#bounds.map(String), '+Inf'];
    const lines = bounds.map((bound, index) => {
      total += counts[index] ?? 0;
      const separator = labels === '' ? '' : ',';
      return line(`${name}_bucket`, `${labels}${separator}le="${bound}"`, total);
    });
    return [...lines, line(`${name}_sum`, labels, sum), line(`${name}_count`, labels, total)];
  }
}

/** Label pairs as they stand between the braces. */
export function joinLabels(pairs: Readonly<Record<string, string>>): string {
  return Object.entries(pairs)
    .map(([name, value]) => `${name}="${escapeLabel(value)}"`)
    .join(',');
}

/** A label's value as it stands between its quotes. */
export function escapeLabel(value: string): string {
  return value.replaceAll(/[\\"\n]/g, escape);
}

function escape(character: string): string {
  return character === '\n' ? String.raw`\n` : `\\${character}`;
}

function line(name: string, labelText: string, value: number): string {
  return labelText === '' ? `${name} ${value}` : `${name}{${labelText}} ${value}`;
}

function block({ name, help }: MetricText, type: string, lines: readonly string[]): string {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines, ''].join('\n');
}
