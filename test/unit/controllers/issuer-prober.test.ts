import { expect, test } from 'vitest';

import type { OidcIssuer, ProbeResult } from '#operator/controllers/organization/issuer-prober.ts';
import { IssuerProber, probeIntervalMs } from '#operator/controllers/organization/issuer-prober.ts';

const issuer: OidcIssuer = {
  type: 'OIDC',
  name: 'login',
  issuerURL: 'https://login.example.com',
  audiences: [],
  claims: { subject: 'sub', groups: 'groups', name: 'email' },
};
const down: ProbeResult = { kind: 'unreachable', reason: 'DiscoveryFailed', message: 'no' };
const up: ProbeResult = { kind: 'reachable' };

function prober(answers: ProbeResult[]) {
  const state = { nowMs: 0, asked: 0, told: [] as string[] };
  const subject = new IssuerProber({
    ask: async () => {
      state.asked += 1;
      return answers.shift() ?? up;
    },
    nowMs: () => state.nowMs,
    onResult: (url) => state.told.push(url),
  });
  return { state, subject };
}

test('an issuer is due at once, then after the interval', async () => {
  const { state, subject } = prober([up]);
  expect(subject.known(issuer)).toEqual({ result: undefined, dueInMs: 0 });
  subject.start(issuer);
  subject.start(issuer);
  expect(subject.known(issuer).dueInMs).toBeUndefined();
  await subject.close();
  expect(state.asked).toBe(1);
  expect(subject.known(issuer)).toEqual({ result: up, dueInMs: probeIntervalMs });
});

test('failures come back sooner, and less and less soon', async () => {
  const { state, subject } = prober(Array.from({ length: 9 }, () => down));
  const delays: (number | undefined)[] = [];
  for (let failure = 0; failure < 9; failure += 1) {
    subject.start(issuer);
    await expect.poll(() => subject.known(issuer).dueInMs).toBeDefined();
    delays.push(subject.known(issuer).dueInMs);
    state.nowMs += 1e6;
  }
  expect(delays).toEqual([5e3, 10e3, 20e3, 40e3, 80e3, 160e3, probeIntervalMs, probeIntervalMs, probeIntervalMs]);
  expect(state.told).toHaveLength(9);
});

test('another CA bundle is another question', async () => {
  const { subject } = prober([up]);
  subject.start(issuer);
  await subject.close();
  expect(subject.known({ ...issuer, caBundle: 'PEM' })).toEqual({ result: undefined, dueInMs: 0 });
});

test('after closing nothing is asked any more', async () => {
  const { state, subject } = prober([up]);
  await subject.close();
  subject.start(issuer);
  expect(state.asked).toBe(0);
});
