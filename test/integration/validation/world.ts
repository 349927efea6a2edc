import { createSecretKey, randomBytes } from 'node:crypto';
import { createServer as createTlsServer } from 'node:https';
import type { RequestListener, Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKeyPolicyProbe } from '#crds/v1alpha1/generated/user-key-policy.ts';
import { systemRandomness } from '#operator/envelope/randomness.ts';
import { SecretBytes } from '#operator/envelope/secret-bytes.ts';
import { effectiveHeaders } from '#operator/policy/effective-headers.ts';
import { budgetLimits, ProbeBudget } from '#operator/validation/budget.ts';
import type { Lookup } from '#operator/validation/checked-request.ts';
import { ProbeCredentials } from '#operator/validation/probe-credential.ts';
import { Prober, type Tried } from '#operator/validation/prober.ts';
import { makeTestCertificate, type TestCertificate } from '#test/support/test-certificates.ts';
import { header, server } from '#test/unit/controllers/fixtures.ts';

export const goodKey = 'ghp_goodKey0123456789';
export const badKey = 'ghp_badKey9876543210';

/** A real HTTPS server, and an McpServer that is it. */
export interface ProbeWorld extends AsyncDisposable {
  readonly origin: string;
  readonly certificate: TestCertificate;
  readonly mcpServer: McpServer;
  readonly prober: Prober;
  /** What observers and conditions hear. */
  readonly told: unknown[];
  try(probe: UserKeyPolicyProbe, key: string, mcpServer?: McpServer): Promise<Tried['finding'] | undefined>;
}

export interface ProbeWorldOptions {
  readonly listener: RequestListener | Server;
  readonly lookup?: Lookup;
  readonly template?: string;
}

export async function probeWorld({
  listener,
  lookup,
  template = 'Bearer {value}',
}: ProbeWorldOptions): Promise<ProbeWorld> {
  const certificate = await makeTestCertificate(['localhost', '127.0.0.1']);
  const upstream = createTlsServer(certificate, (request, response) => {
    if (typeof listener === 'function') listener(request, response);
    else listener.emit('request', request, response);
  });
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  const origin = `https://localhost:${(upstream.address() as AddressInfo).port}`;
  const mcpServer = server({
    upstream: {
      remote: { url: `${origin}/mcp`, allowPrivateAddresses: true, caBundleRef: { name: 'ca', key: 'ca.crt' } },
    },
    headers: [header('Authorization', { template })],
  });
  const told: unknown[] = [];
  const prober = new Prober({
    upstreams: { caBundles: { get: () => bundle(certificate.ca) }, clusterDomain: 'cluster.local' },
    credentials: new ProbeCredentials({
      indexKey: createSecretKey(randomBytes(32)),
      randomness: systemRandomness,
      now: () => new Date(),
    }),
    budget: new ProbeBudget({ nowMs: () => performance.now() }),
    lookup: lookup ?? (() => Promise.resolve(['127.0.0.1'])),
    observer: { probed: (sample) => void told.push(sample) },
    monotonicMs: () => performance.now(),
    tried: (tried, finding) => void told.push(tried.metadata.name, finding),
  });
  return {
    origin,
    certificate,
    mcpServer,
    prober,
    told,
    try: async (probe, key, tried = mcpServer) => {
      using value = SecretBytes.takeFrom(Buffer.from(key));
      const address = {
        organization: 'acme',
        server: { namespace: 'team-a', name: 'github' },
        serverUid: 'uid-github',
        subject: { issuer: 'https://login.example.com', id: 'alice', name: 'Alice' },
      };
      const found = await prober.try(
        {
          server: tried,
          headers: effectiveHeaders({ server: tried, policies: [] }),
          address,
          version: 0,
          values: [{ name: 'Authorization', value }],
          probes: [{ policy: 'strict', probe }],
        },
        budgetLimits.asked,
      );
      return found?.finding;
    },
    [Symbol.asyncDispose]: async () => {
      upstream.closeAllConnections();
      await new Promise((resolve) => upstream.close(resolve));
    },
  };
}

function bundle(ca: string) {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'ca' }, data: { 'ca.crt': ca } };
}
