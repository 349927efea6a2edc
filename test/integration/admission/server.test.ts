import { connect } from 'node:tls';
import type { TLSSocket } from 'node:tls';

import { Registry } from 'prom-client';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import { admitPod } from '#operator/admission/admit.ts';
import { admissionMetrics } from '#operator/admission/metrics.ts';
import { AdmissionServer, bodyBytesMax } from '#operator/admission/server.ts';
import { issueAuthority, issueLeaf } from '#operator/certificates/issue.ts';
import { defaultLifetimes as lifetimes } from '#operator/certificates/lifetimes.ts';
import type { CertifiedKey } from '#operator/certificates/certified-key.ts';
import { silentLog } from '#operator/kube/observers.ts';
import type { Log } from '#operator/kube/observers.ts';
import { applyPatch, testSettings, testWorld, weatherPod } from '#test/unit/admission/pods.ts';

import { callWebhook, podReview, responseIn, webhookHost } from './webhook-client.ts';
import type { WebhookAnswer, WebhookCall } from './webhook-client.ts';

const registry = new Registry();
const logged: string[] = [];
const log: Log = {
  ...silentLog,
  info: (message, fields) => void logged.push(JSON.stringify({ message, ...fields })),
  error: (message) => void logged.push(message),
};
let authority: CertifiedKey;
let server: AdmissionServer;
let port: number;
let isBroken = false;

beforeAll(async () => {
  authority = await issueAuthority(Date.now(), lifetimes);
  const leaf = await issueLeaf({ authority, dnsNames: [webhookHost], nowMs: Date.now(), lifetimes });
  server = new AdmissionServer({
    admit(request) {
      if (isBroken) throw new Error(`broken at ${testSettings.sidecarImage}`);
      return admitPod(request, testWorld());
    },
    identity: { cert: Buffer.from(leaf.pem), key: leaf.keyPem },
    metrics: admissionMetrics(registry),
    log,
    nowMs: () => performance.now(),
  });
  port = await server.listen(0, '127.0.0.1');
});

afterAll(() => server.close());

beforeEach(() => {
  registry.resetMetrics();
  logged.length = 0;
  isBroken = false;
});

function call(options: Omit<WebhookCall, 'port'>): Promise<WebhookAnswer> {
  return callWebhook({ port, ca: authority.pem, ...options });
}

describe('POST /inject', () => {
  test('answers with a patch that makes the pod carry the sidecar', async () => {
    const pod = weatherPod();
    const answer = await call({ body: podReview(pod) });
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe('application/json');
    const response = responseIn(answer);
    expect(response).toMatchObject({
      uid: '705ab4f5-6393-11e8-b7cc-42010a800002',
      allowed: true,
      patchType: 'JSONPatch',
    });
    const patch = JSON.parse(Buffer.from(response.patch ?? '', 'base64').toString()) as Parameters<
      typeof applyPatch
    >[1];
    expect(applyPatch(pod, patch)).toMatchObject({
      metadata: { labels: { 'mcpkeyring.io/injected': 'true' } },
      spec: { initContainers: [{ name: 'mcp-proxy', image: testSettings.sidecarImage, restartPolicy: 'Always' }] },
    });
  });

  test('refuses with the reason', async () => {
    const response = responseIn(
      await call({ body: podReview(weatherPod({ spec: { hostNetwork: true, containers: [] } })) }),
    );
    expect(response.allowed).toBe(false);
    expect(response.status).toMatchObject({ code: 403, message: expect.stringContaining('spec.hostNetwork') });
  });

  test('warns of an annotation that has no effect', async () => {
    const metadata = {
      annotations: { 'mcpkeyring.io/sidecar-memory': '1Gi' },
      labels: { 'mcpkeyring.io/server': 'weather' },
    };
    const response = responseIn(await call({ body: podReview(weatherPod({ metadata })) }));
    expect(response).toMatchObject({
      allowed: true,
      warnings: [expect.stringContaining('mcpkeyring.io/sidecar-memory')],
    });
  });

  test('counts what became of pods, and how long that took', async () => {
    await call({ body: podReview(weatherPod()) });
    await call({ body: podReview(weatherPod({ spec: { hostPID: true, containers: [] } })) });
    const metrics = await registry.metrics();
    expect(metrics).toContain('mcpkeyring_admission_total{result="injected",reason="injected"} 1');
    expect(metrics).toContain('mcpkeyring_admission_total{result="refused",reason="hostPID"} 1');
    expect(metrics).toContain('controller_runtime_webhook_requests_total{webhook="/inject",code="200"} 2');
    expect(metrics).toContain('controller_runtime_webhook_requests_in_flight{webhook="/inject"} 0');
    expect(metrics).toMatch(/controller_runtime_webhook_latency_seconds_bucket\{le="0.02",webhook="\/inject"\} 2/);
  });

  test('takes a body of 3 MiB and no more', async () => {
    const padded = (bytes: number): string => podReview(weatherPod()).padEnd(bytes, ' ');
    expect((await call({ body: padded(bodyBytesMax) })).status).toBe(200);
    const tooLarge = await call({ body: padded(bodyBytesMax + 1) }).catch((error: unknown) => error);
    expect(tooLarge).toSatisfy((answer) => answer instanceof Error || (answer as WebhookAnswer).status === 413);
    expect(await registry.metrics()).toContain(
      'controller_runtime_webhook_requests_total{webhook="/inject",code="413"} 1',
    );
  });

  test('takes no more of a body without a length either', async () => {
    const chunked = { 'transfer-encoding': 'chunked' };
    const body = Buffer.alloc(bodyBytesMax + 1, ' ');
    const tooLarge = await call({ body, headers: chunked }).catch((error: unknown) => error);
    expect(tooLarge).toSatisfy((answer) => answer instanceof Error || (answer as WebhookAnswer).status === 413);
    expect(await registry.metrics()).toContain('code="413"} 1');
  });
});

describe('a caller that is not the API server', () => {
  test.each<{ by: string; options: Omit<WebhookCall, 'port'>; reply: { status: number; text: string } }>([
    { by: 'another path', options: { path: '/' }, reply: { status: 404, text: 'not found' } },
    { by: 'a path beside it', options: { path: '/inject/../metrics' }, reply: { status: 404, text: 'not found' } },
    { by: 'GET', options: { method: 'GET' }, reply: { status: 405, text: 'method not allowed' } },
    { by: 'PUT', options: { method: 'PUT', body: '{}' }, reply: { status: 405, text: 'method not allowed' } },
    {
      by: 'POST to /healthz',
      options: { path: '/healthz', body: '{}' },
      reply: { status: 405, text: 'method not allowed' },
    },
    {
      by: 'another type',
      options: { headers: { 'content-type': 'text/plain' }, body: '{}' },
      reply: { status: 415, text: 'unsupported media type' },
    },
    { by: 'no JSON', options: { body: '{' }, reply: { status: 400, text: 'bad request' } },
    { by: 'no review', options: { body: '{"apiVersion":"v1"}' }, reply: { status: 400, text: 'bad request' } },
    { by: 'nothing', options: { body: '' }, reply: { status: 400, text: 'bad request' } },
  ])('learns nothing by $by', async ({ options, reply }) => {
    const answer = await call(options);
    expect({ status: answer.status, text: answer.text }).toEqual(reply);
    expect(JSON.stringify(answer.headers)).not.toMatch(/node|server|express|keyring/i);
  });

  test('learns nothing from a failure inside', async () => {
    isBroken = true;
    const answer = await call({ body: podReview(weatherPod()) });
    expect({ status: answer.status, text: answer.text }).toEqual({ status: 500, text: 'internal error' });
    expect(logged).toEqual(['admission failed']);
  });

  test('may ask whether it lives', async () => {
    const answer = await call({ method: 'GET', path: '/healthz' });
    expect({ status: answer.status, text: answer.text }).toEqual({ status: 200, text: 'ok' });
  });

  test('cannot use a TLS version before 1.2', async () => {
    await expect(
      handshake({ maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' }),
    ).rejects.toThrow(/alert protocol version/);
    expect(await handshake({})).toBe('TLSv1.3');
  });

  test('that sends its body slowly is let go', { timeout: 15_000 }, async () => {
    const socket = connect({ host: '127.0.0.1', port, servername: webhookHost, ca: authority.pem });
    socket.on('error', () => undefined);
    socket.write(
      `POST /inject HTTP/1.1\r\nhost: ${webhookHost}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{`,
    );
    const answer = await textOf(socket);
    expect(answer).toMatch(/^HTTP\/1.1 408 /);
    expect(await registry.metrics()).toContain('controller_runtime_webhook_requests_in_flight{webhook="/inject"} 0');
  });
});

test('the log names the request and the outcome, never the object', async () => {
  await call({
    body: podReview(weatherPod({ spec: { containers: [{ name: 'server', env: [{ name: 'A', value: 'hush' }] }] } })),
  });
  expect(logged).toHaveLength(1);
  expect(JSON.parse(logged[0] ?? '')).toEqual({
    message: 'admission',
    uid: '705ab4f5-6393-11e8-b7cc-42010a800002',
    namespace: 'team-a',
    result: 'injected',
    reason: 'injected',
  });
});

test('a server that closes finishes what it has begun', async () => {
  const leaf = await issueLeaf({ authority, dnsNames: [webhookHost], nowMs: Date.now(), lifetimes });
  const other = new AdmissionServer({
    admit: (request) => admitPod(request, testWorld()),
    identity: { cert: Buffer.from(leaf.pem), key: leaf.keyPem },
    metrics: admissionMetrics(new Registry()),
    log: silentLog,
    nowMs: () => performance.now(),
  });
  const otherPort = await other.listen(0, '127.0.0.1');
  const body = podReview(weatherPod());
  const socket = connect({ host: '127.0.0.1', port: otherPort, servername: webhookHost, ca: authority.pem });
  const head = `POST /inject HTTP/1.1\r\nhost: ${webhookHost}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
  await new Promise<void>((resolve) => {
    socket.write(head + body.slice(0, 10), () => setTimeout(resolve, 50));
  });
  const closed = other.close();
  socket.write(body.slice(10));
  expect(await textOf(socket)).toMatch(/^HTTP\/1.1 200 /);
  await closed;
});

function handshake(options: object): Promise<string | null> {
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = connect(
      { host: '127.0.0.1', port, servername: webhookHost, ca: authority.pem, ...options },
      () => {
        resolve(socket.getProtocol());
        socket.destroy();
      },
    );
    socket.on('error', reject);
  });
}

/** Everything until the other side has ended or a second has passed without more. */
function textOf(socket: TLSSocket): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const done = (): void => {
      socket.destroy();
      resolve(text);
    };
    socket.on('data', (chunk) => {
      text += chunk.toString('utf8');
      socket.setTimeout(500, done);
    });
    socket.on('close', done);
    socket.on('end', done);
  });
}
