import assert from 'node:assert';

import type { PatchOperation } from '#operator/admission/inject/patch.ts';
import type { InjectionWorld } from '#operator/admission/inject/plan.ts';
import type { InjectableServer } from '#operator/admission/inject/template.ts';
import type { InjectionSettings } from '#operator/admission/inject/sidecar-container.ts';

export type Json = Record<string, unknown>;

export const testSettings: InjectionSettings = {
  sidecarImage:
    'registry.example.com/mcp-proxy@sha256:2f0d1b8f7c1d4f0a4b6a4d6cf5b3a0d9e8c7b6a5948372615049382716a5b4c3',
  runAsUser: 65_532,
  brokerUrl: 'https://mcp-keyring-broker.mcp-keyring.svc:443',
};

/** McpServers of namespace `team-a`. */
export const testServers: Readonly<Record<string, InjectableServer>> = {
  weather: { spec: { upstream: { workload: { port: 8080, path: '/mcp' } } } },
  managed: { spec: { upstream: { managed: { port: 9000 } } } },
  'odd-path': { spec: { upstream: { workload: { port: 8080, path: '/$(KUBERNETES_PORT)/mcp' } } } },
  remote: { spec: { upstream: { remote: { url: 'https://mcp.example.com/mcp' } } } },
};

/** McpServers of other namespaces. */
const foreignServers: Readonly<Record<string, InjectableServer>> = {
  'team-b/remote': { spec: { upstream: { remote: { url: 'https://b.example.com/mcp' } } } },
  'team-b/issue-tracker': { spec: { upstream: { remote: { url: 'https://issues.example.com/mcp' } } } },
  'team-x/payroll': { spec: { upstream: { remote: { url: 'https://payroll.example.com/mcp' } } } },
};

/** Organizations by namespace; `team-none` has none. */
const testOrganizations: Readonly<Record<string, string>> = { 'team-a': 'default', 'team-b': 'default', 'team-x': 'x' };

export const testNamespace = 'team-a';

export function testWorld(changes: Partial<InjectionWorld> = {}): InjectionWorld {
  return {
    findServer,
    remoteServersIn: (namespace) => (namespace === testNamespace ? ['remote'] : []),
    organizationOf: (namespace) => testOrganizations[namespace],
    settings: testSettings,
    injectorVersion: '0.0.0-test',
    ...changes,
  };
}

function findServer(namespace: string, name: string): InjectableServer | undefined {
  if (namespace === testNamespace) return Object.hasOwn(testServers, name) ? testServers[name] : undefined;
  return foreignServers[`${namespace}/${name}`];
}

/** A pod that asks for the sidecar of an agent. */
export function agentPod(changes: { readonly metadata?: Json; readonly spec?: Json } = {}): Json {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'assistant', labels: { 'mcpkeyring.io/agent': 'true' }, ...changes.metadata },
    spec: { containers: [{ name: 'agent', image: 'registry.example.com/assistant:3' }], ...changes.spec },
  };
}

/** A pod that asks for the sidecar of McpServer `weather`. */
export function weatherPod(changes: { readonly metadata?: Json; readonly spec?: Json } = {}): Json {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'weather', labels: { 'mcpkeyring.io/server': 'weather' }, ...changes.metadata },
    spec: { containers: [{ name: 'server', image: 'registry.example.com/weather:1.4' }], ...changes.spec },
  };
}

/** Applies a patch as the API server does (RFC 6902), and fails the test where `add` would not be an addition. */
export function applyPatch(object: Json, operations: readonly PatchOperation[]): Json {
  const result = structuredClone(object);
  for (const operation of operations) {
    assert.equal(operation.op, 'add');
    const tokens = operation.path
      .split('/')
      .slice(1)
      .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
    const last = tokens.pop();
    assert(last !== undefined);
    let parent: unknown = result;
    for (const token of tokens) parent = (parent as Json)[token];
    addAt(parent, last, structuredClone(operation.value));
  }
  return result;
}

function addAt(parent: unknown, token: string, value: unknown): void {
  if (Array.isArray(parent)) {
    const index = token === '-' ? parent.length : Number(token);
    assert(Number.isInteger(index) && index >= 0 && index <= parent.length, 'index outside the list');
    parent.splice(index, 0, value);
    return;
  }
  assert(typeof parent === 'object' && parent !== null, 'the parent does not exist');
  const fields = parent as Json;
  assert(fields[token] === undefined || fields[token] === null, `${token} is overwritten`);
  fields[token] = value;
}
