import { describe, expect, test } from 'vitest';

import type { McpServer, McpServerRemote } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { ConfigMap } from '#operator/kube/resources.ts';
import { serverUpstream } from '#operator/policy/server-upstream.ts';
import { mcpServer } from '#test/support/broker-world.ts';

const url = 'https://mcp.vendor.example/mcp';

function remoteServer(change: Partial<McpServerRemote> = {}): McpServer {
  const server = mcpServer();
  return {
    ...server,
    spec: { ...server.spec, upstream: { remote: { url, allowPrivateAddresses: false, ...change } } },
  };
}

function sources(data?: Record<string, string>) {
  const configMap: ConfigMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'vendor' }, data: data ?? {} };
  const get = (namespace: string | undefined, name: string): ConfigMap | undefined =>
    namespace === 'team-a' && name === 'vendor' && data !== undefined ? configMap : undefined;
  return { caBundles: { get }, clusterDomain: 'cluster.local' };
}

describe('what proxies are told of a server', () => {
  test('is the Service of its sidecars when it runs in the cluster', () => {
    expect(serverUpstream(mcpServer(), sources())).toEqual({
      kind: 'cluster',
      url: 'http://github-mcp.team-a.svc.cluster.local/mcp',
    });
  });

  test('is its URL when it is remote', () => {
    expect(serverUpstream(remoteServer(), sources())).toEqual({ kind: 'remote', url, allowPrivateAddresses: false });
    const inside = serverUpstream(remoteServer({ allowPrivateAddresses: true }), sources());
    expect(inside).toMatchObject({ allowPrivateAddresses: true });
  });

  test('holds the certificates that it names, out of its own namespace', () => {
    const named = remoteServer({ caBundleRef: { name: 'vendor', key: 'ca.crt' } });
    expect(serverUpstream(named, sources({ 'ca.crt': 'PEM' }))).toMatchObject({ ca: 'PEM' });
  });

  test.each([
    ['a ConfigMap that is not there', undefined],
    ['a key that is not there', { other: 'PEM' }],
    ['an empty bundle', { 'ca.crt': ' \n' }],
    ['a bundle that is too large', { 'ca.crt': 'x'.repeat(262_145) }],
  ])('is nothing with %s: never the public roots instead', (_, data) => {
    const named = remoteServer({ caBundleRef: { name: 'vendor', key: 'ca.crt' } });
    expect(serverUpstream(named, sources(data))).toBeUndefined();
  });
});
