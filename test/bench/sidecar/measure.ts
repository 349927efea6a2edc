/** All that is measured of one proxy in one round, in the order in which it is measured. */
import { fixedRate, openStreams, saturate, type Saturation, type Speech, usersMax } from './load.ts';
import { forgetPeak, type Target, usage } from './targets.ts';

/** Numbers by name, so that rounds can be compared figure by figure. `undefined`: means nothing for this proxy. */
export type Measured = Readonly<Record<Figure, number | undefined>>;

export type Figure =
  | `requests${1 | 32 | 256}`
  | 'cpuMsPer1000'
  | `latency${0 | 1 | 2 | 3}`
  | 'rssMiB'
  | 'anonymousMiB'
  | 'peakMiB'
  | `body${'64k' | '1m'}`
  | `cpuBody${'64k' | '1m'}`
  | 'requestsUsers'
  | 'cpuUsers'
  | 'rssUsers'
  | 'streamP50'
  | 'streamP99'
  | 'streamRss'
  | 'streamCpu';

export const streamsOpen = 1_000;
export const ratePerSecond = 1_000;

export async function measure(target: Target, seconds: number): Promise<Measured> {
  const { speech, pids } = target;
  // Just-in-time compilers need thousands of requests to begin.
  await saturate(speech, { seconds, connections: 32 });
  const one = await loaded(target, { seconds, connections: 1 });
  const some = await loaded(target, { seconds, connections: 32 });
  await forgetPeak(pids);
  const many = await loaded(target, { seconds, connections: 256 });
  const rss = await usage(pids);
  const latencies = await latenciesAt(speech, seconds);
  return {
    requests1: one.requestsPerSecond,
    requests32: some.requestsPerSecond,
    requests256: many.requestsPerSecond,
    cpuMsPer1000: some.cpuMsPer1000,
    rssMiB: rss.rssBytes / 1_048_576,
    anonymousMiB: rss.anonymousBytes / 1_048_576,
    peakMiB: rss.peakBytes / 1_048_576,
    latency0: latencies[0],
    latency1: latencies[1],
    latency2: latencies[2],
    latency3: latencies[3],
    ...(target.isWhole ? await measureMore(target, seconds) : nothingMore),
  };
}

type More = Exclude<
  Figure,
  `requests${1 | 32 | 256}` | 'cpuMsPer1000' | `${'rss' | 'anonymous' | 'peak'}MiB` | `latency${0 | 1 | 2 | 3}`
>;

const nothingMore: Record<More, undefined> = {
  body64k: undefined,
  body1m: undefined,
  cpuBody64k: undefined,
  cpuBody1m: undefined,
  requestsUsers: undefined,
  cpuUsers: undefined,
  rssUsers: undefined,
  streamP50: undefined,
  streamP99: undefined,
  streamRss: undefined,
  streamCpu: undefined,
};

async function measureMore(target: Target, seconds: number): Promise<Record<More, number | undefined>> {
  const { speech, pids } = target;
  const kilobytes = await loaded(target, { seconds, connections: 8, bodyBytes: 65_536 });
  const megabyte = await loaded(target, { seconds, connections: 8, bodyBytes: 1_048_576 });
  // Everybody has a lease before it counts.
  await saturate(speech, { seconds: Math.max(6, seconds), connections: 32, users: usersMax });
  const users = await loaded(target, { seconds, connections: 32, users: usersMax });
  const usersRss = await usage(pids);
  const before = await usage(pids);
  const streams = await openStreams(speech, { streams: streamsOpen, seconds, whileOpen: () => usage(pids) });
  return {
    body64k: kilobytes.requestsPerSecond,
    body1m: megabyte.requestsPerSecond,
    cpuBody64k: kilobytes.cpuMsPer1000,
    cpuBody1m: megabyte.cpuMsPer1000,
    requestsUsers: users.requestsPerSecond,
    cpuUsers: users.cpuMsPer1000,
    rssUsers: usersRss.rssBytes / 1_048_576,
    streamP50: streams.p50Ms,
    streamP99: streams.p99Ms,
    streamRss: streams.seen.rssBytes / 1_048_576,
    streamCpu: streams.seen.cpuMs - before.cpuMs,
  };
}

interface Loaded {
  readonly requestsPerSecond: number;
  readonly cpuMsPer1000: number;
}

async function loaded({ speech, pids }: Target, load: Saturation): Promise<Loaded> {
  const before = await usage(pids);
  const { requests, seconds } = await saturate(speech, load);
  const after = await usage(pids);
  return { requestsPerSecond: requests / seconds, cpuMsPer1000: ((after.cpuMs - before.cpuMs) / requests) * 1_000 };
}

/** None where the proxy cannot keep up with the rate: a queue that grows has no latency. */
async function latenciesAt(speech: Speech, seconds: number): Promise<readonly number[]> {
  const { requests, seconds: took } = await saturate(speech, { seconds: 1, connections: 32 });
  if (requests / took < ratePerSecond) return [];
  return fixedRate(speech, { seconds, ratePerSecond, connections: 8 });
}

/** Figure by figure. */
export function median(all: readonly Measured[]): Measured {
  const [first] = all;
  if (first === undefined) throw new Error('nothing was measured');
  const figures = Object.keys(first) as Figure[];
  return Object.fromEntries(
    figures.map((figure) => {
      const values = all.map((one) => one[figure]).filter((value) => Number.isFinite(value));
      return [figure, values.toSorted((a = 0, b = 0) => a - b)[Math.floor(values.length / 2)]];
    }),
  ) as Measured;
}
