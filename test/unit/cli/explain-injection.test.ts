import { describe, expect, test } from 'vitest';
import { explainInjection, type InjectionObserved } from '#cli/inject/explain.ts';

const good: InjectionObserved = {
  target: 'deploy/x',
  namespace: 'team',
  podLabels: { 'mcpkeyring.io/server': 'notes' },
  server: { name: 'notes', ready: true, message: '' },
  webhook: { exists: true, trusted: true },
  dryRun: { kind: 'admitted', injected: true },
};

const agent = { 'mcpkeyring.io/agent': 'true' };

function problems(change: Partial<InjectionObserved>): string {
  return explainInjection({ ...good, ...change })
    .filter((finding) => finding.result === 'problem')
    .map((finding) => finding.message)
    .join('\n');
}

describe('check-inject', () => {
  test('has no problem when a dry run shows the sidecar', () => {
    expect(explainInjection(good).map((finding) => finding.result)).toEqual(['ok', 'ok', 'ok', 'ok']);
  });

  test('has no problem with an agent either', () => {
    const findings = explainInjection({ ...good, podLabels: agent, server: undefined });
    expect(findings.map((finding) => finding.result)).toEqual(['ok', 'ok', 'ok']);
  });

  test.each<[string, Partial<InjectionObserved>, RegExp]>([
    ['no label', { podLabels: {} }, /add it to the pod template/u],
    [
      'an agent that is refused',
      { podLabels: agent, dryRun: { kind: 'refused', message: 'MCP Keyring (agentServersMissing): …' } },
      /^the API server refuses the pod: MCP Keyring \(agentServersMissing\)/u,
    ],
    ['no McpServer', { server: undefined }, /no McpServer notes in namespace team/u],
    [
      'McpServer not ready',
      { server: { name: 'notes', ready: false, message: 'no organization' } },
      /no organization/u,
    ],
    ['no webhook', { webhook: { exists: false, trusted: false } }, /chart installed/u],
    ['webhook without CA', { webhook: { exists: true, trusted: false } }, /CA bundle/u],
    ['refused', { dryRun: { kind: 'refused', message: 'hostNetwork' } }, /hostNetwork/u],
    ['not injected', { dryRun: { kind: 'admitted', injected: false } }, /without the container mcp-proxy/u],
  ])('says what is wrong: %s', (_name, change, message) => {
    expect(problems(change)).toMatch(message);
  });

  test('does not guess where the account may not look', () => {
    const findings = explainInjection({ ...good, webhook: 'forbidden' });
    expect(findings.map((finding) => finding.result)).toEqual(['ok', 'ok', 'unknown', 'ok']);
  });
});
