import { createSecretKey } from 'node:crypto';

import { generateHpkeKeyPair } from '#cli/contract/hpke.ts';
import type { UserKeyControl } from '#cli/contract/request-control.ts';
import type { UserKeyResponse } from '#cli/contract/responses.ts';
import { intakeSuite, sealUserKeyRequest } from '#cli/contract/user-key-request.ts';
import type { McpServer, McpServerHeader } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKeyRequest } from '#crds/v1alpha1/generated/user-key-request.ts';
import type { AuditEvent } from '#operator/audit/audit-log.ts';
import type { Identification } from '#operator/identity/identification.ts';
import { mcpServers, userKeyPolicies, userKeyRequests, userKeys } from '#operator/kube/keyring-resources.ts';
import { intakeReconcile, type IntakeDependencies } from '#operator/intake/reconcile.ts';
import { RequestLimiter, triesPerWindowMax } from '#operator/intake/request-limiter.ts';
import { Turns } from '#operator/intake/turns.ts';
import { fingerprintKeyOf } from '#operator/keystore/state-key.ts';
import { ApprovalOrders } from '#operator/approvals/approval-orders.ts';
import { RevocationOrders, type RevocationOrdersOptions } from '#operator/revocation/revocation-orders.ts';
import type { Tenancy } from '#operator/tenancy/tenancy.ts';

import { testStore } from '../keystore/fixtures.ts';

export const namespace = 'team-a';

export const oidcUser: Identification = {
  kind: 'identified',
  subject: { issuer: 'https://idp.example.com', id: 'alice-id', name: 'alice@example.com' },
  groups: [],
};

export const organization: Tenancy = {
  kind: 'organization',
  name: 'default',
  issuers: [{ type: 'Kubernetes', name: 'cluster', audiences: [] }],
};

export function server(name: string, headers: readonly Partial<McpServerHeader>[], uid = `uid-of-${name}`): McpServer {
  const full = headers.map(
    (header) =>
      ({ name: 'Authorization', template: 'Bearer {value}', required: true, reveal: 'None', ...header }) as const,
  );
  return {
    apiVersion: 'mcpkeyring.io/v1alpha1',
    kind: 'McpServer',
    metadata: { namespace, name, uid },
    spec: {
      title: name.toUpperCase(),
      upstream: {},
      transport: 'StreamableHTTP',
      authentication: { mode: 'PerUser', headers: full },
    },
  };
}

export const github = server('github', [{ title: 'GitHub token', format: { prefixes: ['ghp_'] } }]);
export const jira = server('jira', [
  { name: 'X-Jira-Email', template: '{value}' },
  { name: 'X-Jira-Token', template: '{value}' },
]);
export const open = server('open', []);

/** `root` may revoke keys everywhere, `keeper` those of github. */
function mayRevoke(username: string, server: string | undefined): boolean {
  return username === 'root' || (username === 'keeper' && server === 'github');
}

/** The operator's intake over a fake cluster, and the CLI's side of it. */
export async function testIntake(change: Partial<IntakeDependencies> = {}) {
  const world = await testStore();
  const { cluster, clock } = world;
  const intakeKey = generateHpkeKeyPair();
  const audited: AuditEvent[] = [];
  const informers = {
    mcpServers: cluster.informer(mcpServers),
    userKeyPolicies: cluster.informer(userKeyPolicies),
    userKeys: cluster.informer(userKeys),
    requests: cluster.informer(userKeyRequests),
  };
  for (const one of [github, jira, open]) cluster.put(mcpServers, one);
  const turns = new Turns();
  const revocationOptions: RevocationOrdersOptions = {
    client: cluster.client,
    keyStore: world.store,
    mcpServers: informers.mcpServers.store,
    rights: { ask: (user, right) => Promise.resolve(mayRevoke(user.username, right.server) ? 'allowed' : 'denied') },
    fingerprintKeyOf: (organizationName) => fingerprintKeyOf(createSecretKey(Buffer.alloc(32, 1)), organizationName),
    audit: { append: (event) => deps.audit.append(event) },
    turns,
    now: () => clock.now,
  };
  const revocations = new RevocationOrders(revocationOptions);
  const deps: IntakeDependencies = {
    client: cluster.client,
    sources: {
      mcpServers: informers.mcpServers.store,
      userKeyPolicies: informers.userKeyPolicies.store,
      userKeys: informers.userKeys.store,
    },
    requests: informers.requests.store,
    tenancy: { organizationOf: () => organization },
    identifier: { identify: () => Promise.resolve(oidcUser) },
    rights: { ask: () => Promise.resolve('allowed') },
    keyStore: world.store,
    trials: { try: () => Promise.resolve(undefined), record: () => Promise.reject(new Error('nothing was tried')) },
    tokenOrders: { carryOut: () => Promise.reject(new Error('no access tokens here')) },
    audit: {
      append: (event) => {
        audited.push(event);
        return Promise.resolve();
      },
    },
    keyPairOf: (keyId) => (keyId === 'intake-1' ? intakeKey : undefined),
    limiter: new RequestLimiter(),
    tryLimiter: new RequestLimiter(triesPerWindowMax),
    turns,
    revocations,
    approvals: { carryOut: (order, request) => approvalOrders().carryOut(order, request) },
    now: () => clock.now,
    ...change,
  };
  const approvalOrders = (): ApprovalOrders => new ApprovalOrders({ ...deps, client: cluster.client });
  /** By user of the cluster. */
  const groupsOf = new Map<string, readonly string[]>();
  const reconcile = intakeReconcile(deps);
  let sent = 0;

  function send(control: UserKeyControl, values: Readonly<Record<string, string>> = {}, username = 'alice') {
    sent += 1;
    const headers = Object.entries(values).map(([name, value]) => ({ name, value: Buffer.from(value) }));
    const recipient = { keyId: 'intake-1', publicKey: intakeKey.publicKey.toString('base64'), suite: intakeSuite };
    const { openResponse, ...sealed } = sealUserKeyRequest(recipient, { namespace, username }, { control, headers });
    const request: UserKeyRequest = {
      apiVersion: 'mcpkeyring.io/v1alpha1',
      kind: 'UserKeyRequest',
      metadata: {
        namespace,
        name: `ukr-${sent}`,
        uid: `request-${sent}`,
        generation: 1,
        creationTimestamp: clock.now.toISOString(),
      },
      spec: { requester: { username, groups: groupsOf.get(username) ?? [] }, ...sealed },
    };
    cluster.put(userKeyRequests, request);
    return { request, openResponse };
  }

  const handle = (request: UserKeyRequest) =>
    reconcile({ namespace, name: request.metadata.name }, new AbortController().signal);
  const stored = (request: UserKeyRequest) =>
    cluster.objects.get(`userkeyrequests ${namespace}/${request.metadata.name}`) as UserKeyRequest | undefined;

  async function ask(
    control: UserKeyControl,
    values: Readonly<Record<string, string>> = {},
    username = 'alice',
  ): Promise<UserKeyResponse> {
    const { request, openResponse } = send(control, values, username);
    await handle(request);
    return openResponse(stored(request)?.status?.sealedResponse ?? '');
  }

  return { ...world, deps, revocationOptions, audited, groupsOf, send, handle, stored, ask, informers };
}
