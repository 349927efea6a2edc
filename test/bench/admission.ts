import { once } from 'node:events';
import { Agent } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker, isMainThread, parentPort } from 'node:worker_threads';

import { Registry } from 'prom-client';

import { admitPod } from '#operator/admission/admit.ts';
import { admissionMetrics } from '#operator/admission/metrics.ts';
import { decodeReview, encodeReview } from '#operator/admission/review.ts';
import { AdmissionServer } from '#operator/admission/server.ts';
import { issueAuthority, issueLeaf } from '#operator/certificates/issue.ts';
import { defaultLifetimes as lifetimes } from '#operator/certificates/lifetimes.ts';
import { silentLog } from '#operator/kube/observers.ts';
import { callWebhook, podReview, responseIn, webhookHost } from '#test/integration/admission/webhook-client.ts';
import { testWorld, weatherPod } from '#test/unit/admission/pods.ts';

/** `node test/bench/admission.ts [rate per second] [seconds]`: latency of admissions as the API server sees it. */
const ratePerSecond = Number(process.argv[2] ?? 100);
const seconds = Number(process.argv[3] ?? 20);
const p99MsMax = 20;
const warmUpCalls = 500;

interface Endpoint {
  readonly port: number;
  readonly ca: string;
}

/** The server has a thread of its own, as it has a process of its own in the cluster. */
async function serve(): Promise<Endpoint> {
  const authority = await issueAuthority(Date.now(), lifetimes);
  const leaf = await issueLeaf({ authority, dnsNames: [webhookHost], nowMs: Date.now(), lifetimes });
  const server = new AdmissionServer({
    admit: (request) => admitPod(request, testWorld()),
    identity: { cert: Buffer.from(leaf.pem), key: leaf.keyPem },
    metrics: admissionMetrics(new Registry()),
    log: silentLog,
    nowMs: () => performance.now(),
  });
  return { port: await server.listen(0, '127.0.0.1'), ca: authority.pem };
}

/** A pod with the managed fields of a few controllers, about 16 KB. */
function body(): string {
  const managedFields = Array.from({ length: 40 }, (_, index) => ({
    manager: `manager-${index}`,
    operation: 'Update',
    fieldsV1: {
      'f:spec': Object.fromEntries(Array.from({ length: 20 }, (_unused, field) => [`f:field-${field}`, {}])),
    },
  }));
  return podReview(weatherPod({ metadata: { labels: { 'mcpkeyring.io/server': 'weather' }, managedFields } }));
}

async function measure(endpoint: Endpoint, agent: Agent | false): Promise<readonly number[]> {
  const latenciesMs: number[] = [];
  const calls: Promise<void>[] = [];
  const review = body();
  const startMs = performance.now();
  for (let index = 0; index < ratePerSecond * seconds; index += 1) {
    const dueMs = startMs + (index * 1_000) / ratePerSecond;
    await delay(Math.max(0, dueMs - performance.now()));
    calls.push(call({ ...endpoint, agent, body: review }, latenciesMs));
  }
  await Promise.all(calls);
  return latenciesMs.sort((one, other) => one - other);
}

/** The first calls find nothing compiled; an operator that has just started is not what is measured. */
async function warmUp(endpoint: Endpoint, agent: Agent): Promise<void> {
  const review = body();
  for (let index = 0; index < warmUpCalls; index += 1) await callWebhook({ ...endpoint, agent, body: review });
}

async function call(options: Parameters<typeof callWebhook>[0], latenciesMs: number[]): Promise<void> {
  const startMs = performance.now();
  const answer = await callWebhook(options);
  if (responseIn(answer).patch === undefined) throw new Error(`not injected: ${answer.text}`);
  latenciesMs.push(performance.now() - startMs);
}

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

function report(name: string, sorted: readonly number[]): void {
  const [p50, p90, p99, max] = [0.5, 0.9, 0.99, 1].map((share) => percentile(sorted, share).toFixed(2));
  console.log(`${name}: ${sorted.length} admissions, p50 ${p50} ms, p90 ${p90} ms, p99 ${p99} ms, max ${max} ms`);
}

function reportDecision(): void {
  const bytes = Buffer.from(body());
  const rounds = 5_000;
  const startMs = performance.now();
  for (let round = 0; round < rounds; round += 1) {
    const request = decodeReview(bytes);
    encodeReview(request.uid, admitPod(request, testWorld()).answer);
  }
  const microseconds = ((performance.now() - startMs) * 1_000) / rounds;
  console.log(`decode, decide and encode ${bytes.length} bytes: ${microseconds.toFixed(0)} µs`);
}

async function main(): Promise<void> {
  reportDecision();
  const worker = new Worker(new URL(import.meta.url), { argv: process.argv.slice(2) });
  const [endpoint] = (await once(worker, 'message')) as [Endpoint];
  console.log(`${ratePerSecond}/s for ${seconds} s`);
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  await warmUp(endpoint, agent);
  const kept = await measure(endpoint, agent);
  report('connections kept', kept);
  report('a new connection each', await measure(endpoint, false));
  agent.destroy();
  await worker.terminate();
  if (percentile(kept, 0.99) <= p99MsMax) return;
  console.error(`p99 is above ${p99MsMax} ms`);
  process.exitCode = 1;
}

if (isMainThread) await main();
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- this is a worker's port, not a window
else parentPort?.postMessage(await serve());
