import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { createKubeClient } from '#operator/kube/api-client.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { inClusterConnection, kubeconfigConnection } from '#operator/kube/connection.ts';
import { KubeError } from '#operator/kube/errors.ts';
import { configMaps, secrets, tokenReviews } from '#operator/kube/resources.ts';
import { parseRetryAfterMs } from '#operator/kube/retry.ts';
import { createTransport, type Transport } from '#operator/kube/transport.ts';
import { FaultApiServer } from '#test/support/fault-api-server.ts';

const ref = { namespace: 'n', name: 'x' };
const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: ref, data: { a: '1' } };

describe('calls to the API server', () => {
  let server: FaultApiServer;
  let transport: Transport;
  let client: KubeClient;

  beforeEach(async () => {
    server = await FaultApiServer.start([configMaps, secrets, tokenReviews]);
    transport = createTransport({ source: server.source, userAgent: 'mcp-keyring-operator/test', random: () => 0 });
    client = createKubeClient({ transport });
  });

  afterEach(async () => {
    await client.close();
    await server.close();
  });

  test('create, get, apply, patch, replace, delete and list do what they say', async () => {
    const created = await client.create(configMaps, object);
    expect(created.metadata.uid).toBeDefined();
    expect(await client.get(configMaps, ref)).toEqual(created);
    await client.apply(configMaps, { ...object, data: { b: '2' } }, { fieldManager: 'test' });
    await client.mergePatch(configMaps, ref, { metadata: { finalizers: ['x/y'] } });
    const patched = await client.get(configMaps, ref);
    expect(patched?.data).toEqual({ a: '1', b: '2' });
    const replaced = await client.replace(configMaps, { ...patched!, data: { c: '3' } });
    expect(replaced.data).toEqual({ c: '3' });
    expect(await client.list(configMaps, { namespace: 'n' })).toMatchObject([
      { kind: 'ConfigMap', apiVersion: 'v1', data: { c: '3' } },
    ]);
    expect(await client.delete(configMaps, ref)).toBe(true);
    expect((await client.get(configMaps, ref))?.metadata.deletionTimestamp).toBeDefined();
    await client.mergePatch(configMaps, ref, { metadata: { finalizers: null } });
    expect(await client.get(configMaps, ref)).toBeUndefined();
    expect(await client.delete(configMaps, ref)).toBe(false);
  });

  test('apply is server-side apply with force and one field manager', async () => {
    await client.apply(configMaps, object, { fieldManager: 'mcp-keyring-operator' });
    const [seen] = server.requestsOf('apply');
    expect(seen?.headers['content-type']).toBe('application/apply-patch+yaml');
    expect(Object.fromEntries(seen?.query ?? [])).toEqual({ fieldManager: 'mcp-keyring-operator', force: 'true' });
    expect(() => client.apply(configMaps, object, { fieldManager: 'x'.repeat(129) })).toThrow(TypeError);
  });

  test('stale writes are Conflict, second creations AlreadyExists, foreign UIDs are not deleted', async () => {
    const created = await client.create(configMaps, object);
    await expect(client.create(configMaps, object)).rejects.toMatchObject({ code: 'AlreadyExists' });
    await client.mergePatch(configMaps, ref, { data: { a: '2' } });
    await expect(client.replace(configMaps, created)).rejects.toMatchObject({ code: 'Conflict' });
    await expect(client.delete(configMaps, ref, { preconditionUid: 'other' })).rejects.toMatchObject({
      code: 'Conflict',
    });
  });

  test.each([
    [401, 'Unauthorized'],
    [403, 'Forbidden'],
    [410, 'Gone'],
    [422, 'Invalid'],
    [500, 'Unavailable'],
    [504, 'Timeout'],
    [418, 'BadResponse'],
  ])('status %i is %s', async (status, code) => {
    server.inject({ times: 9, effect: { kind: 'status', status } });
    await expect(client.get(configMaps, ref)).rejects.toMatchObject({ name: 'KubeError', code, status });
  });

  test('waits as long as Retry-After says on 429 and 503, for reads and for writes', async () => {
    for (const status of [429, 503]) {
      server.inject({ times: 2, effect: { kind: 'status', status, retryAfterSeconds: 0 } });
      await client.apply(configMaps, object, { fieldManager: 'test' });
    }
    expect(server.requests).toHaveLength(6);
    server.inject({ effect: { kind: 'status', status: 429, retryAfterSeconds: 1 } });
    const startedAtMs = performance.now();
    await client.get(configMaps, ref);
    expect(performance.now() - startedAtMs).toBeGreaterThanOrEqual(990);
  });

  test('gives up after five throttled attempts, and at once when asked to wait for too long', async () => {
    server.inject({ times: 9, effect: { kind: 'status', status: 429, retryAfterSeconds: 0 } });
    await expect(client.get(configMaps, ref)).rejects.toMatchObject({ code: 'TooManyRequests' });
    expect(server.requests).toHaveLength(5);
    server.clearFaults();
    server.inject({ effect: { kind: 'status', status: 429, retryAfterSeconds: 600 } });
    await expect(client.get(configMaps, ref)).rejects.toMatchObject({ code: 'TooManyRequests', retryAfterMs: 600_000 });
  });

  test('a lost read is tried once more, a lost write is not: it may have happened', async () => {
    server.inject({ effect: { kind: 'reset' } });
    expect(await client.get(configMaps, ref)).toBeUndefined();
    server.inject({ effect: { kind: 'reset' } });
    await expect(client.create(configMaps, object)).rejects.toMatchObject({ code: 'Unavailable' });
    expect(server.requestsOf('create')).toHaveLength(1);
  });

  test('an answer that does not come is Timeout, an abort by the caller is Aborted', async () => {
    server.inject({ times: 2, effect: { kind: 'hang' } });
    const impatient = createTransport({ source: server.source, userAgent: 'test', limits: { callTimeoutMs: 50 } });
    await expect(createKubeClient({ transport: impatient }).get(configMaps, ref)).rejects.toMatchObject({
      code: 'Timeout',
    });
    await impatient.close();
    const controller = new AbortController();
    const call = client.get(configMaps, ref, { signal: controller.signal });
    setTimeout(() => controller.abort(), 20);
    await expect(call).rejects.toMatchObject({ code: 'Aborted' });
    await expect(client.get(configMaps, ref, { signal: AbortSignal.timeout(0) })).rejects.toBeInstanceOf(KubeError);
  });

  test('an answer that is no JSON object, or too long, is BadResponse and is not quoted', async () => {
    for (const text of ['<html>s3cret</html>', 'null', '"s3cret"']) {
      server.inject({ effect: { kind: 'garbage', text } });
      const error = await client.get(configMaps, ref).catch((caught: unknown) => caught);
      expect(error).toMatchObject({ code: 'BadResponse' });
      expect(String((error as Error).stack)).not.toContain('s3cret');
    }
    const small = createTransport({ source: server.source, userAgent: 'test', limits: { responseBytesMax: 10 } });
    server.inject({ effect: { kind: 'garbage', text: 'x'.repeat(11) } });
    await expect(createKubeClient({ transport: small }).get(configMaps, ref)).rejects.toMatchObject({
      code: 'BadResponse',
    });
    await small.close();
  });

  test("the server's own sentence is in the error, but never for Secrets and TokenReviews", async () => {
    const refuse = () => server.inject({ effect: { kind: 'status', status: 422 } });
    refuse();
    await expect(client.create(configMaps, object)).rejects.toThrow('injected 422');
    refuse();
    await expect(client.create(secrets, { ...object, data: {} })).rejects.toThrow(/^create secrets n\/x: 422 Invalid$/);
    refuse();
    await expect(client.review(tokenReviews, { spec: { token: 't' } })).rejects.toThrow(
      /^create tokenreviews: 422 Invalid$/,
    );
  });

  test('raw reads and writes carry bytes, and a stale raw write is Conflict', async () => {
    await client.create(configMaps, object);
    const bytes = await client.getRaw(configMaps, ref);
    expect(JSON.parse(bytes!.toString())).toMatchObject({ data: { a: '1' } });
    await client.mergePatch(configMaps, ref, { data: { a: '2' } });
    await expect(client.replaceRaw(configMaps, ref, bytes!)).rejects.toMatchObject({ code: 'Conflict' });
    expect(await client.getRaw(configMaps, { ...ref, name: 'none' })).toBeUndefined();
  });

  test('a name cannot leave its place in the path', async () => {
    await client.get(configMaps, { namespace: 'n', name: 'x/../../secrets/y?z' });
    expect(server.requests[0]?.path).toBe('/api/v1/namespaces/n/configmaps/x%2F..%2F..%2Fsecrets%2Fy%3Fz');
    await expect(client.get(configMaps, { namespace: '..', name: 'x' })).rejects.toThrow(TypeError);
    await expect(client.get(configMaps, { name: 'x' })).rejects.toThrow(TypeError);
  });

  test('a listing whose continue token expired is started again', async () => {
    for (let index = 0; index < 501; index += 1)
      server.put(configMaps, { metadata: { namespace: 'n', name: `m${index}` } });
    const expireOnce = (seen: { readonly query: URLSearchParams }): boolean => seen.query.has('continue');
    server.inject({ verb: 'list', when: expireOnce, effect: { kind: 'status', status: 410 } });
    expect(await client.list(configMaps)).toHaveLength(501);
    expect(server.requestsOf('list')).toHaveLength(4);
  });

  test('200 calls one after the other use two sockets at most, 100 at once no more than 16', async () => {
    for (let call = 0; call < 200; call += 1) await client.get(configMaps, ref);
    expect(server.socketsOpened).toBeLessThanOrEqual(2);
    await Promise.all(Array.from({ length: 100 }, () => client.get(configMaps, ref)));
    expect(server.socketsOpened).toBeLessThanOrEqual(16);
  });

  test('closing ends what is under way, and nothing is sent afterwards', async () => {
    server.inject({ effect: { kind: 'hang' } });
    const call = client.get(configMaps, ref);
    setTimeout(() => void client.close(), 20);
    await expect(call).rejects.toMatchObject({ code: 'Aborted' });
    await expect(client.get(configMaps, ref)).rejects.toMatchObject({ code: 'Aborted' });
    expect(server.requests).toHaveLength(1);
  });
});

describe('credentials', () => {
  let folder: string;
  let server: FaultApiServer;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mcp-keyring-credentials-'));
    server = await FaultApiServer.start([configMaps]);
  });

  afterEach(async () => {
    await server.close();
    await rm(folder, { recursive: true });
  });

  async function clientWithToken(token: string, credentialsAgeMsMax = 60_000) {
    await writeFile(join(folder, 'token'), `${token}\n`);
    await writeFile(join(folder, 'ca.crt'), '');
    const inCluster = inClusterConnection({ host: '127.0.0.1', port: '1', directory: folder });
    const source = async () => ({ ...(await inCluster()), server: server.url });
    const transport = createTransport({ source, userAgent: 'test', limits: { credentialsAgeMsMax } });
    return createKubeClient({ transport });
  }

  test('a refused token is read again once, and the call succeeds with the new one', async () => {
    server.acceptedTokens = new Set(['second']);
    const client = await clientWithToken('first');
    await writeFile(join(folder, 'token'), 'second');
    expect(await client.get(configMaps, ref)).toBeUndefined();
    server.acceptedTokens = new Set(['third']);
    await expect(client.get(configMaps, ref)).rejects.toMatchObject({ code: 'Unauthorized' });
    await writeFile(join(folder, 'token'), 'third');
    expect(await client.get(configMaps, ref)).toBeUndefined();
    await client.close();
  });

  test('credentials are read again when they are old enough, and a failing read keeps the ones that work', async () => {
    const client = await clientWithToken('first', 0);
    await client.get(configMaps, ref);
    await writeFile(join(folder, 'token'), 'second');
    await client.get(configMaps, ref);
    await rm(join(folder, 'token'));
    await client.get(configMaps, ref);
    const tokens = server.requests.map(({ headers }) => headers.authorization);
    expect(tokens).toEqual(['Bearer first', 'Bearer second', 'Bearer second']);
    await client.close();
  });

  test('a new CA gets new sockets, a new token does not', async () => {
    const client = await clientWithToken('first', 0);
    await client.get(configMaps, ref);
    await writeFile(join(folder, 'token'), 'second');
    await client.get(configMaps, ref);
    expect(server.socketsOpened).toBe(1);
    await writeFile(join(folder, 'ca.crt'), 'another');
    await client.get(configMaps, ref);
    expect(server.socketsOpened).toBe(2);
    await client.close();
  });

  test('without readable credentials a call is Unavailable', async () => {
    const source = inClusterConnection({ host: '127.0.0.1', port: '1', directory: join(folder, 'none') });
    const client = createKubeClient({ transport: createTransport({ source, userAgent: 'test' }) });
    await expect(client.get(configMaps, ref)).rejects.toMatchObject({ code: 'Unavailable' });
    await client.close();
  });

  test('a kubeconfig gives the current context; what cannot be trusted is refused', async () => {
    const path = join(folder, 'kubeconfig');
    const config = (cluster: object, user: object): string =>
      JSON.stringify({
        'current-context': 'c',
        contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
        clusters: [{ name: 'k', cluster: { server: 'https://k:6443', ...cluster } }],
        users: [{ name: 'u', user }],
      });
    await writeFile(join(folder, 'key.pem'), 'KEY');
    const user = { 'client-certificate-data': Buffer.from('CERT').toString('base64'), 'client-key': 'key.pem' };
    await writeFile(path, config({ 'certificate-authority-data': Buffer.from('CA').toString('base64') }, user));
    expect(await kubeconfigConnection(path)()).toEqual({
      server: 'https://k:6443',
      ca: 'CA',
      clientCertificate: { certificate: 'CERT', key: 'KEY' },
    });
    await writeFile(path, config({ 'insecure-skip-tls-verify': true }, {}));
    await expect(kubeconfigConnection(path)()).rejects.toThrow('insecure-skip-tls-verify');
    await writeFile(path, config({}, { exec: { command: 'x' } }));
    await expect(kubeconfigConnection(path)()).rejects.toThrow('exec plugin');
    await writeFile(path, '{}');
    await expect(kubeconfigConnection(path)()).rejects.toThrow('no context');
  });
});

test('Retry-After is read in seconds and as a date; nonsense is absent', () => {
  expect(parseRetryAfterMs('7', 0)).toBe(7000);
  expect(parseRetryAfterMs('Thu, 01 Jan 1970 00:00:10 GMT', 4000)).toBe(6000);
  expect(parseRetryAfterMs('Thu, 01 Jan 1970 00:00:10 GMT', 40_000)).toBe(0);
  expect(parseRetryAfterMs('soon', 0)).toBeUndefined();
  expect(parseRetryAfterMs(undefined, 0)).toBeUndefined();
});
