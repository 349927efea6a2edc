import type { McpServer, McpServerHeader } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { Organization, OrganizationIssuer } from '#crds/v1alpha1/generated/organization.ts';
import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import { apiVersion } from '#crds/v1alpha1/names.ts';
import type { StatusBase } from '#operator/controllers/decision.ts';
import type { Namespace } from '#operator/kube/resources.ts';

/** Objects with everything filled in; a test says only what it is about. */

export const now = new Date('2026-03-01T10:00:00Z');

export function organization(change: { name?: string; spec?: Partial<Organization['spec']> } = {}): Organization {
  const { name = 'acme', spec } = change;
  return {
    apiVersion,
    kind: 'Organization',
    metadata: { name, uid: `uid-${name}`, generation: 3 },
    spec: {
      plan: 'Enterprise',
      namespaceSelector: { matchLabels: { org: name } },
      identity: { issuers: [oidcIssuer()] },
      ...spec,
    },
  };
}

export function oidcIssuer(change: Partial<OrganizationIssuer> = {}): OrganizationIssuer {
  return {
    name: 'login',
    type: 'OIDC',
    issuerURL: 'https://login.example.com',
    audiences: ['mcp'],
    claims: { subject: 'sub', groups: 'groups', name: 'email' },
    ...change,
  };
}

export function namespace(name: string, labels: Record<string, string> = {}): Namespace {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, uid: `uid-${name}`, labels } };
}

export function header(name: string, change: Partial<McpServerHeader> = {}): McpServerHeader {
  return { name, template: '{value}', required: true, reveal: 'None', ...change };
}

interface ServerChange {
  readonly metadata?: Partial<McpServer['metadata']>;
  readonly upstream?: McpServer['spec']['upstream'];
  readonly headers?: readonly McpServerHeader[];
  readonly status?: McpServer['status'];
}

export function server(change: ServerChange = {}): McpServer {
  return {
    apiVersion,
    kind: 'McpServer',
    metadata: { name: 'github', namespace: 'team-a', uid: 'uid-github', generation: 2, ...change.metadata },
    spec: {
      upstream: change.upstream ?? { workload: { port: 8080, path: '/mcp' } },
      transport: 'StreamableHTTP',
      authentication: { mode: 'PerUser', headers: change.headers ?? [header('Authorization')] },
    },
    ...(change.status === undefined ? {} : { status: change.status }),
  };
}

export function managedServer(change: Partial<NonNullable<McpServer['spec']['upstream']['managed']>> = {}): McpServer {
  const managed = { image: 'registry.example.com/github@sha256:0', port: 8080, path: '/mcp', replicas: 2, ...change };
  return server({ upstream: { managed } });
}

interface PolicyChange extends Partial<UserKeyPolicy['spec']> {
  readonly name?: string;
  readonly namespace?: string;
}

export function policy(change: PolicyChange = {}): UserKeyPolicy {
  const { name = 'strict', namespace: ns = 'team-a', servers, ...spec } = change;
  return {
    apiVersion,
    kind: 'UserKeyPolicy',
    metadata: { name, namespace: ns, uid: `uid-${name}`, generation: 1 },
    spec: {
      servers: servers ?? { selector: {} },
      ...spec,
    },
  };
}

export const subject = { issuer: 'https://login.example.com', id: 'u-1', name: 'ada@example.com' };
export const userKeyName = 'github-abcdefghijklmnop';

export function userKey(change: { metadata?: Partial<UserKey['metadata']>; status?: UserKey['status'] } = {}): UserKey {
  return {
    apiVersion,
    kind: 'UserKey',
    metadata: { name: userKeyName, namespace: 'team-a', uid: 'uid-key', generation: 1, ...change.metadata },
    spec: { serverRef: { name: 'github' }, subject },
    ...(change.status === undefined ? {} : { status: change.status }),
  };
}

/** `Ready=False/NoPods Stalled=True/…`, the way a table of expectations writes conditions. */
export function brief(status: StatusBase | undefined): string {
  return (status?.conditions ?? []).map(({ type, status: value, reason }) => `${type}=${value}/${reason}`).join(' ');
}

export function messageOf(status: StatusBase | undefined, type = 'Ready'): string {
  return status?.conditions?.find((condition) => condition.type === type)?.message ?? '';
}
