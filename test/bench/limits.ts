/**
 * What a limit costs on the path of a request while blocks are there: the layer, with one limit of requests, one of a day and one of a
 * tool. Run with the sidecar's runtime: bun test/bench/limits.ts
 */
import type { LimitRules } from '#contract/quota.ts';
import type { PolicySnapshot } from '#contract/watch.ts';
import { Limiter } from '#sidecar/limits/limiter.ts';
import { limitsInForce } from '#sidecar/limits/limits-in-force.ts';
import type { RequestMessage } from '#sidecar/mcp/message.ts';

const requests = 200_000;
const batch = 100;
const users = 1_000;

const limits: LimitRules = {
  onStoreFailure: 'Open',
  rules: [
    { bucket: 'p/Minute', per: 'Minute', max: 6_000 },
    { bucket: 'p/Day', per: 'Day', max: 100_000 },
    { bucket: 'p/Minute/create_*', per: 'Minute', max: 5_000, match: 'create_*' },
  ],
};
const server = { namespace: 'team', name: 'server' };
const policy: PolicySnapshot = { server, title: 'server', headers: [], limits };
const message: RequestMessage = {
  kind: 'request',
  id: 1,
  method: 'tools/call',
  era: 'legacy',
  protocolVersion: undefined,
  tool: 'create_issue',
  name: 'create_issue',
  elicitsUrl: false,
  traceparent: undefined,
};

const inForce = limitsInForce(() => policy);
const limiter = new Limiter({
  nowMs: () => performance.now(),
  ask: async (_user, wishes) => ({
    kind: 'granted',
    blocks: wishes.map(({ bucket }) => ({ bucket, granted: 1_000, validMs: 60_000 })),
  }),
});

function rulesOf() {
  return inForce({ userRules: undefined })?.of(message) ?? [];
}

for (let user = 0; user < users; user += 1) await limiter.take(`user-${user}`, rulesOf());
const samples: number[] = [];
let late = 0;
for (let done = 0; done < requests; done += batch) {
  const startedMs = performance.now();
  for (let index = 0; index < batch; index += 1) {
    const verdict = limiter.take(`user-${(done + index) % users}`, rulesOf());
    if (verdict instanceof Promise) late += 1;
  }
  samples.push(((performance.now() - startedMs) * 1_000) / batch);
}
samples.sort((one, other) => one - other);
const at = (part: number): string => (samples[Math.floor(samples.length * part)] ?? Number.NaN).toFixed(2);
process.stdout.write(`${requests} requests of ${users} users: p50 ${at(0.5)} us, p99 ${at(0.99)} us, ${late} asked\n`);
