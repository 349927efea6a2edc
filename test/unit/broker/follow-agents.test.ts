import { describe, expect, test } from 'vitest';

import { followSources } from '#operator/broker/follow-sources.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import { brokerWorld } from '#test/support/broker-world.ts';

const nothing = (): void => undefined;

function agentPod(change: Partial<KubeObject['metadata']> = {}): KubeObject {
  const metadata = {
    name: 'assistant-0',
    namespace: 'team-a',
    uid: 'uid-1',
    labels: { 'mcpkeyring.io/agent': 'true', 'mcpkeyring.io/injected': 'true' },
    annotations: { 'mcpkeyring.io/injected-servers': 'team-b/linear' },
    ...change,
  };
  return { apiVersion: 'v1', kind: 'Pod', metadata };
}

/** An agent whose streams are followed, and the UIDs of the pods whose streams were ended. */
function followed() {
  const { sources, referencedSecrets, keyStore } = brokerWorld();
  const ended: string[] = [];
  sources.agentPods.put(agentPod());
  const hub = {
    invalidate: nothing,
    invalidateAll: nothing,
    refresh: nothing,
    endPod: (uid: string) => ended.push(uid),
  };
  followSources({ sources, referencedSecrets, keyStore, hub });
  // What was there at the start had no streams.
  ended.length = 0;
  return { sources, ended };
}

const { labels } = agentPod().metadata;

describe('the streams of an agent', () => {
  test.each<[string, Partial<KubeObject['metadata']>]>([
    ['other servers', { annotations: { 'mcpkeyring.io/injected-servers': 'team-b/jira' } }],
    ['no servers', { annotations: {} }],
    ['no agent label', { labels: { 'mcpkeyring.io/injected': 'true' } }],
    ['no label of the injector', { labels: { 'mcpkeyring.io/agent': 'true' } }],
    ['the label of a server', { labels: { ...labels, 'mcpkeyring.io/server': 'notes' } }],
  ])('end when its pod has %s', (_, change) => {
    const { sources, ended } = followed();
    sources.agentPods.put(agentPod(change));
    expect(ended).toEqual(['uid-1']);
  });

  test('end when its pod is gone', () => {
    const { sources, ended } = followed();
    sources.agentPods.remove(agentPod());
    expect(ended).toEqual(['uid-1']);
  });

  test('end when the labels of its namespace change: it may be of another organization', () => {
    const { sources, ended } = followed();
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'team-a', labels: { a: 'b' } } };
    sources.namespaces.put(namespace);
    expect(ended).toEqual(['uid-1']);
    sources.namespaces.put({ ...namespace, metadata: { name: 'team-c' } });
    expect(ended).toEqual(['uid-1']);
  });

  test('go on when anything else changes', () => {
    const { sources, ended } = followed();
    sources.agentPods.put(agentPod({ labels: { ...labels, app: 'assistant' } }));
    sources.agentPods.put(agentPod({ annotations: { ...agentPod().metadata.annotations, note: 'x' } }));
    expect(ended).toEqual([]);
  });
});
