import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, inject, test } from 'vitest';
import { helmValues } from '#test/demo/install.ts';
import { verifies } from '#test/requirements.ts';
import { kubectl, kubectlJson, run } from './support/cluster.ts';
import { callTool, setKey, tokenOf } from './support/users.ts';
import { waitUntil } from './support/wait.ts';

const keys = inject('demoKeys');
const inNamespace = ['--namespace', 'mcp-keyring'];
const waiting = ['--wait', '--timeout', '180s'];

async function upgrade(...extra: readonly string[]): Promise<void> {
  await run(
    [
      'helm',
      'upgrade',
      '--install',
      'mcp-keyring',
      'charts/mcp-keyring',
      ...inNamespace,
      ...waiting,
      '-f',
      '-',
      ...extra,
    ],
    helmValues(),
  );
}

async function works(token: string): Promise<void> {
  await waitUntil("alice's key in use", 30_000, async () => (await callTool(token)).text.includes('alice@notes'));
}

/** The CRD chart with one more printer column, as a later version might have. */
async function upgradeCrds(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'crds-'));
  try {
    cpSync('charts/mcp-keyring-crds', folder, { recursive: true });
    const file = join(folder, 'templates/mcpservers.yaml');
    const column = '- name: Later\n          type: string\n          jsonPath: .spec.title\n        ';
    const changed = readFileSync(file, 'utf8').replace(/(additionalPrinterColumns:\n\s+)(- )/u, `$1${column}$2`);
    expect(changed).toContain('Later');
    writeFileSync(file, changed);
    await run(['helm', 'upgrade', 'mcp-keyring-crds', folder, ...inNamespace, ...waiting]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function columns(): Promise<string> {
  return kubectl(
    'get',
    'crd',
    'mcpservers.mcpkeyring.io',
    '-o',
    'jsonpath={.spec.versions[0].additionalPrinterColumns[*].name}',
  );
}

describe('charts', () => {
  test(verifies('charts:helm-test'), async () => {
    expect(await run(['helm', 'test', 'mcp-keyring', ...inNamespace, '--timeout', '120s'])).toMatch(/Succeeded/u);
  });

  test(verifies('charts:life-cycle'), async () => {
    const token = await tokenOf('alice');
    await setKey(token, keys.alice);
    await works(token);

    await upgradeCrds();
    expect(await columns()).toContain('Later');
    await upgrade('--set', 'operator.replicas=1');
    const scaled = await kubectlJson<{ spec: { replicas: number } }>(
      '-n',
      'mcp-keyring',
      'get',
      'deploy',
      'mcp-keyring-operator',
    );
    expect(scaled.spec.replicas).toBe(1);
    await works(token);

    await run(['helm', 'rollback', 'mcp-keyring', ...inNamespace, ...waiting]);
    await run(['helm', 'rollback', 'mcp-keyring-crds', ...inNamespace, ...waiting]);
    expect(await columns()).not.toContain('Later');
    await works(token);

    await run(['helm', 'uninstall', 'mcp-keyring', ...inNamespace, ...waiting]);
    const webhooks = await kubectl('get', 'mutatingwebhookconfigurations,validatingadmissionpolicies', '-o', 'name');
    expect(webhooks).not.toContain('mcp-keyring');
    const secrets = await kubectlJson<{ items: unknown[] }>(
      '-n',
      'mcp-keyring-keys',
      'get',
      'secrets',
      '-l',
      'mcpkeyring.io/managed=true',
    );
    expect(secrets.items.length).toBeGreaterThan(0);
    expect(await kubectl('get', 'userkeys', '-A')).toContain('notes');

    await upgrade();
    await works(token);
  });
});
