/** The tables of docs/performance.md. */
import { percentiles, usersMax } from './load.ts';
import { type Figure, type Measured, ratePerSecond, streamsOpen } from './measure.ts';

type Results = ReadonlyMap<string, Measured>;

interface Column {
  readonly title: string;
  readonly figure: Figure;
  readonly digits: number;
  /** Of the proxy alone: nothing to show for `direct`. */
  readonly own?: true;
}

const requests: readonly Column[] = [
  { title: 'req/s, c=1', figure: 'requests1', digits: 0 },
  { title: 'c=32', figure: 'requests32', digits: 0 },
  { title: 'c=256', figure: 'requests256', digits: 0 },
  { title: 'CPU s per 10,000', figure: 'cpuMsPer1000', digits: 2, own: true },
  { title: 'RSS MiB, most at c=256', figure: 'peakMiB', digits: 0, own: true },
  { title: 'after it', figure: 'rssMiB', digits: 0, own: true },
  { title: 'of it anonymous', figure: 'anonymousMiB', digits: 0, own: true },
];

const latencies: readonly Column[] = percentiles.map((percentile, index) => ({
  title: `p${percentile} ms`,
  figure: `latency${index}` as Figure,
  digits: 2,
}));

const growth: readonly Column[] = [
  { title: '64 KB: req/s', figure: 'body64k', digits: 0 },
  { title: 'CPU s per 10,000', figure: 'cpuBody64k', digits: 2, own: true },
  { title: '1 MB: req/s', figure: 'body1m', digits: 0 },
  { title: 'CPU s per 10,000', figure: 'cpuBody1m', digits: 1, own: true },
  { title: `${usersMax.toLocaleString('en')} users: req/s`, figure: 'requestsUsers', digits: 0 },
  { title: 'CPU s per 10,000', figure: 'cpuUsers', digits: 2, own: true },
  { title: 'RSS MiB', figure: 'rssUsers', digits: 0, own: true },
];

const streams: readonly Column[] = [
  { title: 'event p50 ms', figure: 'streamP50', digits: 2 },
  { title: 'p99 ms', figure: 'streamP99', digits: 2 },
  { title: 'RSS MiB', figure: 'streamRss', digits: 0, own: true },
  { title: 'CPU ms, opening included', figure: 'streamCpu', digits: 0, own: true },
];

export function tables(results: Results): string {
  return [
    ['tools/call of 1 KB, answer of 1 KB, as much as it takes', requests],
    [`the same at ${ratePerSecond.toLocaleString('en')} requests/s`, latencies],
    ['growth with the size of request and answer (c=8) and with distinct users (c=32)', growth],
    [`${streamsOpen.toLocaleString('en')} open event streams, 100 events a second in all`, streams],
  ]
    .map(([title, columns]) => `${title as string}\n\n${table(results, columns as readonly Column[])}`)
    .join('\n\n');
}

function table(results: Results, columns: readonly Column[]): string {
  const rows = [...results].map(([name, measured]) =>
    line([name, ...columns.map((column) => cell(name, measured, column))]),
  );
  return [line(['', ...columns.map(({ title }) => title)]), line(['', ...columns].map(() => '---')), ...rows].join(
    '\n',
  );
}

function cell(name: string, measured: Measured, { figure, digits, own }: Column): string {
  const value = measured[figure];
  if (!Number.isFinite(value) || value === undefined || (name === 'direct' && own === true)) return '–';
  // CPU ms per 1000 requests are seconds per 10,000 hundredfold.
  const shown = figure.startsWith('cpu') ? value / 100 : value;
  return shown.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function line(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}
