import { describe, expect, test } from 'vitest';

import { refuseForeign, removal, type Found } from '#test/demo/ownership.ts';

const lines = (...rows: readonly (readonly string[])[]): string => rows.map((row) => `${row.join('\t')}\n`).join('');
const empty: Found = { namespaces: lines(['default', '', '', '']), definitions: '', releases: '' };
const demo: Found = {
  namespaces: lines(
    ['default', '', '', ''],
    ['mcp-demo', 'make-demo', '', ''],
    ['mcp-keyring', 'make-demo', '', ''],
    ['mcp-keyring-keys', '', 'mcp-keyring', 'mcp-keyring'],
  ),
  definitions: lines(
    ['userkeys.mcpkeyring.io', '', 'mcp-keyring-crds', 'mcp-keyring'],
    ['widgets.example.com', '', '', ''],
  ),
  releases: lines(['mcp-keyring', 'mcp-keyring'], ['mcp-keyring-crds', 'mcp-keyring']),
};
const foreign: Found = { ...demo, namespaces: demo.namespaces.replaceAll('make-demo', '') };

describe('make demo', () => {
  test('takes an empty cluster, and one that it made itself', () => {
    expect(() => refuseForeign(empty, 'staging')).not.toThrow();
    expect(() => refuseForeign(demo, 'staging')).not.toThrow();
  });

  test('refuses an installation that it did not make, and names all of it', () => {
    expect(() => refuseForeign(foreign, 'staging')).toThrow(
      /staging[^]*namespace mcp-demo\n[^]*namespace mcp-keyring\n[^]*namespace mcp-keyring-keys\n[^]*release mcp-keyring in mcp-keyring\n[^]*definition userkeys/u,
    );
  });

  test.each<[string, Partial<Found>]>([
    ['definitions alone', { definitions: lines(['userkeys.mcpkeyring.io', '', 'mcp-keyring-crds', 'mcp-keyring']) }],
    ['a release in another namespace', { releases: lines(['mcp-keyring', 'security']) }],
    ['a namespace with sealed keys', { namespaces: lines(['mcp-keyring-keys', '', 'mcp-keyring', 'mcp-keyring']) }],
    ['a namespace with another mark', { namespaces: lines(['mcp-demo', 'somebody', '', '']) }],
  ])('refuses %s', (_what, part) => {
    expect(() => refuseForeign({ ...empty, ...part }, 'staging')).toThrow('the demo did not make them');
  });
});

describe('make demo-down', () => {
  test('removes all that the demo made, definitions too, and the mark last', () => {
    const { commands, left } = removal(demo);
    expect(left).toEqual([]);
    expect(commands.map((command) => command.slice(0, 4).join(' '))).toEqual([
      'kubectl delete userkeys.mcpkeyring.io --all',
      'kubectl delete namespace mcp-demo',
      'helm uninstall mcp-keyring --namespace',
      'helm uninstall mcp-keyring-crds --namespace',
      'kubectl delete crd userkeys.mcpkeyring.io',
      'kubectl delete namespace mcp-keyring-keys',
      'kubectl delete namespace mcp-keyring',
    ]);
  });

  test('removes nothing that it did not make, and says what it leaves', () => {
    expect(removal(foreign).commands).toEqual([]);
    expect(removal(foreign).left).toContain('namespace mcp-keyring-keys');
    expect(removal(empty)).toEqual({ commands: [], left: [] });
  });

  test("leaves definitions and sealed keys of another release, though the demo's namespace is there", () => {
    const mixed: Found = {
      ...demo,
      namespaces: demo.namespaces.replace('mcp-keyring\tmcp-keyring\n', 'mcp-keyring\tsecurity\n'),
      definitions: lines(['userkeys.mcpkeyring.io', '', 'mcp-keyring-crds', 'security']),
    };
    const text = removal(mixed).commands.join(' ');
    expect(text).not.toContain('userkeys');
    expect(text).not.toContain('mcp-keyring-keys');
  });
});
