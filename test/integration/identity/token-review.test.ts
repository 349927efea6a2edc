import { randomBytes } from 'node:crypto';

import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { fetchClusterKeys } from '#operator/identity/cluster-keys.ts';
import { createClusterSignature } from '#operator/identity/cluster-signature.ts';
import { KubernetesTokenVerifier } from '#operator/identity/kubernetes-token.ts';
import { PodIdentifier, type PodIdentification } from '#operator/identity/pod-identity.ts';
import type { PodPurpose } from '#operator/identity/pod-roles.ts';
import { TokenReviewer } from '#operator/identity/token-review.ts';
import { createKubeClient } from '#operator/kube/api-client.ts';
import { createInformer } from '#operator/kube/create-informer.ts';
import type { Informer } from '#operator/kube/informer.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import { podMetadata } from '#operator/kube/resources.ts';
import { createTransport, type Transport } from '#operator/kube/transport.ts';
import { startControlPlane, type ControlPlane } from '#test/support/control-plane.ts';

const github = { namespace: 'team-a', name: 'github' };
let plane: ControlPlane;
let transport: Transport;
let pods: Informer<KubeObject>;

beforeAll(async () => {
  plane = await startControlPlane();
  for (const namespace of ['team-a', 'team-b']) {
    await plane.kubectl(['create', 'namespace', namespace]);
    await plane.kubectl(['create', 'serviceaccount', 'agent', '-n', namespace]);
  }
  await makePod('github-0', github);
  transport = createTransport({ source: plane.source, userAgent: 'test' });
  const options = { labelSelector: 'mcpkeyring.io/server', metadataOnly: true };
  pods = createInformer<KubeObject>({ transport, type: podMetadata, options });
  pods.start();
  await pods.synced();
});

afterAll(async () => {
  await pods?.close();
  await transport?.close();
  await plane?.[Symbol.asyncDispose]();
});

async function makePod(name: string, server: typeof github, finalizers: readonly string[] = []): Promise<void> {
  const labels = { 'mcpkeyring.io/server': server.name, 'mcpkeyring.io/injected': 'true' };
  const spec = { serviceAccountName: 'agent', nodeName: 'node-1', containers: [{ name: 'app', image: 'app' }] };
  const metadata = { name, namespace: server.namespace, labels, finalizers };
  await plane.kubectl(['create', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata, spec }));
}

async function tokenOf(options: { pod?: string; audience?: string; namespace?: string } = {}): Promise<string> {
  const { pod, audience = 'mcp-keyring-broker', namespace = 'team-a' } = options;
  const bound = pod === undefined ? [] : ['--bound-object-kind=Pod', `--bound-object-name=${pod}`];
  const token = await plane.kubectl(['create', 'token', 'agent', '-n', namespace, `--audience=${audience}`, ...bound]);
  return token.trim();
}

/** A new one each time, so that nothing is cached. */
function identify(token: string, purpose: PodPurpose = 'leasing', server = github): Promise<PodIdentification> {
  const reviewer = new TokenReviewer({ client: createKubeClient({ transport }), monotonicMs: () => performance.now() });
  const podOfUid = (uid: string): KubeObject | undefined => pods.store.getByUid(uid);
  const world = { organizationOf: () => 'default', isRemote: () => false, operatorNamespace: 'mcp-keyring' };
  return new PodIdentifier({ reviewer, podOfUid, ...world }).identify({ token, server, purpose });
}

describe('pod tokens that a real API server made', () => {
  test('prove their pod, with the id that the audit log names', async () => {
    const result = await identify(await tokenOf({ pod: 'github-0' }));
    expect(result).toMatchObject({
      kind: 'verified',
      pod: { name: 'github-0', namespace: 'team-a', serviceAccount: 'agent' },
    });
    if (result.kind === 'verified') expect(result.pod.credentialId).toMatch(/^JTI=[0-9a-f-]{36}$/);
  });

  test('prove nothing for another audience: a stolen API token is no pod token', async () => {
    const token = await tokenOf({ pod: 'github-0', audience: 'https://kubernetes.default.svc' });
    expect(await identify(token)).toMatchObject({ kind: 'refused', reason: 'NotAuthenticated' });
  });

  test('prove nothing when they are bound to no pod', async () => {
    expect(await identify(await tokenOf())).toMatchObject({ kind: 'refused', reason: 'NotBoundToAPod' });
  });

  test('prove nothing when they are changed', async () => {
    const [header, payload, signature = ''] = (await tokenOf({ pod: 'github-0' })).split('.');
    const claims = JSON.parse(Buffer.from(payload ?? '', 'base64url').toString()) as object;
    const forged = Buffer.from(JSON.stringify({ ...claims, sub: 'system:serviceaccount:kube-system:admin' }));
    const swapped = `${header}.${forged.toString('base64url')}.${signature}`;
    expect(await identify(swapped)).toMatchObject({ reason: 'NotAuthenticated' });
    expect(await identify(`${header}.${payload}.`)).toMatchObject({ reason: 'NotAuthenticated' });
  });

  test('do not help at a server of another namespace or another name', async () => {
    const token = await tokenOf({ pod: 'github-0' });
    expect(await identify(token, 'leasing', { ...github, namespace: 'team-b' })).toMatchObject({
      reason: 'NamespaceMismatch',
    });
    expect(await identify(token, 'leasing', { ...github, name: 'jira' })).toMatchObject({
      reason: 'PodServesAnotherServer',
    });
  });

  test('stop working at once when their pod is deleted', async () => {
    await makePod('short-lived', github);
    const token = await tokenOf({ pod: 'short-lived' });
    await expect.poll(() => identify(token)).toMatchObject({ kind: 'verified' });
    await plane.kubectl(['delete', 'pod', 'short-lived', '-n', 'team-a', '--grace-period=0', '--force']);
    await expect.poll(() => identify(token)).toMatchObject({ kind: 'refused' });
  });

  test('give no keys any more when their pod terminates, but still let it report', async () => {
    await makePod('draining', github, ['test.example/hold']);
    const token = await tokenOf({ pod: 'draining' });
    await expect.poll(() => identify(token)).toMatchObject({ kind: 'verified' });
    await plane.kubectl(['delete', 'pod', 'draining', '-n', 'team-a', '--wait=false']);
    await expect.poll(() => identify(token)).toMatchObject({ kind: 'refused', reason: 'PodTerminating' });
    expect(await identify(token, 'reporting')).toMatchObject({ kind: 'verified' });
    await plane.kubectl([
      'patch',
      'pod',
      'draining',
      '-n',
      'team-a',
      '--type=merge',
      '-p',
      '{"metadata":{"finalizers":null}}',
    ]);
  });
});

describe('ServiceAccount tokens of users', () => {
  const issuer = { type: 'Kubernetes', name: 'cluster', audiences: ['urn:mcp-keyring'] } as const;
  const verify = (token: string) =>
    new KubernetesTokenVerifier(
      new TokenReviewer({ client: createKubeClient({ transport }), monotonicMs: () => performance.now() }),
    ).verify(token, issuer);

  test('identify their account', async () => {
    const token = await tokenOf({ audience: 'urn:mcp-keyring', namespace: 'team-b' });
    expect(await verify(token)).toMatchObject({
      kind: 'identified',
      subject: { issuer: 'kubernetes', id: 'system:serviceaccount:team-b:agent' },
      expiresAtMs: expect.any(Number) as number,
    });
  });

  test.each(['mcp-keyring-broker', 'https://kubernetes.default.svc'])('do not with audience %s', async (audience) => {
    expect(await verify(await tokenOf({ audience }))).toMatchObject({ reason: 'AudienceMismatch' });
  });
});

describe('the keys of a real API server', () => {
  test('tell its tokens from made-up ones without a TokenReview', async () => {
    const token = await tokenOf({ audience: 'urn:mcp-keyring' });
    const clusterIssuerURL = decodeJwt(token).iss ?? '';
    const signature = createClusterSignature({
      clusterIssuerURL,
      fetchKeySet: () => fetchClusterKeys(transport),
      now: () => new Date(),
      monotonicMs: () => performance.now(),
    });
    const forged = `${token.slice(0, token.lastIndexOf('.'))}.${randomBytes(256).toString('base64url')}`;
    expect(await signature.isOn(token, ['urn:mcp-keyring'])).toBe(true);
    expect(await signature.isOn(forged, ['urn:mcp-keyring'])).toBe(false);
    expect(await signature.isOn(token, ['urn:other'])).toBe(false);
  });

  test('may be read by any ServiceAccount', async () => {
    // The API server takes its own issuer as audience unless told otherwise.
    const token = await tokenOf({ audience: decodeJwt(await tokenOf()).iss ?? '' });
    const { server, ca = '' } = await plane.source();
    const asAgent = createTransport({ source: () => Promise.resolve({ server, ca, token }), userAgent: 'test' });
    try {
      expect(await fetchClusterKeys(asAgent)).toMatchObject({ keys: [{ kty: expect.any(String) as string }] });
    } finally {
      await asAgent.close();
    }
  });
});
