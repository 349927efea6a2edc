import { labels } from '#crds/v1alpha1/names.ts';

import type { Cluster } from './cluster.ts';
import { issuer, type DemoKeys } from './install.ts';

const mcpUrl = 'http://notes-mcp.mcp-demo.svc/mcp';
const node = '/usr/local/bin/node';

/** What a person wants to see, printed section by section. Throws when an answer is not what it must be. */
export function showScenario(cluster: Cluster, keys: DemoKeys): void {
  const tokens = { alice: login(cluster, 'alice'), bob: login(cluster, 'bob'), carol: login(cluster, 'carol') };
  heading('alice and bob store their own keys (kubectl mcpkeys set notes)');
  for (const user of ['alice', 'bob'] as const) print(setKey(cluster, tokens[user], keys[user]));

  heading('Each calls the same server; each is somebody else there');
  for (const user of ['alice', 'bob'] as const) {
    for (const answer of call(cluster, tokens[user])) {
      print(`${user}: ${answer.tool} -> ${answer.text}`);
      expectAnswer(!answer.isError && answer.text.includes(user), `${user} got ${answer.text}`);
    }
  }
  heading('carol has stored no key, and is told what to do');
  const [refusal] = call(cluster, tokens.carol);
  print(`carol: ${refusal?.tool} -> ${refusal?.text}`);
  expectAnswer(refusal?.isError === true && refusal.text.includes('Authorization'), `carol got ${refusal?.text}`);

  heading('kubectl get mcpservers,userkeypolicies,userkeys -n mcp-demo');
  print(cluster.kubectl('-n', 'mcp-demo', 'get', 'mcpservers,userkeypolicies,userkeys'));
  showSealedSecret(cluster, keys);
  showAudit(cluster);
  showMetrics(cluster);
}

interface Answer {
  readonly tool: string;
  readonly isError: boolean;
  readonly text: string;
}

function login(cluster: Cluster, account: string): string {
  return inClient(cluster, ['login', issuer, '/etc/idp/ca.crt', account]).trim();
}

function call(cluster: Cluster, token: string): readonly Answer[] {
  const output = inClient(cluster, ['call', mcpUrl, 'whoami', 'list_notes'], token);
  return output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Answer);
}

function inClient(cluster: Cluster, args: readonly string[], input = ''): string {
  return cluster.run(
    ['kubectl', '-n', 'mcp-demo', 'exec', '-i', 'deploy/client', '--', node, '/app/client.js', ...args],
    { input },
  );
}

/** The token goes through a file descriptor and the key through standard input: neither is an argument of any process. */
function setKey(cluster: Cluster, token: string, key: string): string {
  const script = 'read -r token; exec 3<<<"$token"; kubectl mcpkeys set notes -n mcp-demo --token-file /dev/fd/3 "$@"';
  return cluster.run(['bash', '-c', script, 'bash', ...cluster.kubectlFlags], { input: `${token}\n${key}\n` });
}

function showSealedSecret(cluster: Cluster, keys: DemoKeys): void {
  heading('What is stored: ciphertext only (kubectl get secrets -n mcp-keyring-keys -l mcpkeyring.io/managed=true)');
  const sealed = ['-n', 'mcp-keyring-keys', 'get', 'secrets', '-l', `${labels.managed}=true`];
  const all = cluster.kubectl('-n', 'mcp-keyring-keys', 'get', 'secrets', '-o', 'yaml');
  print(cluster.kubectl(...sealed));
  print(cluster.kubectl(...sealed, '-o', 'jsonpath={.items[0].data.ciphertext}').slice(0, 120));
  for (const key of Object.values(keys)) {
    expectAnswer(!all.includes(Buffer.from(key).toString('base64')), 'a stored Secret holds a readable key');
  }
}

function showAudit(cluster: Cluster): void {
  heading('The audit events of those calls');
  const logs = cluster.kubectl(
    '-n',
    'mcp-keyring',
    'logs',
    '-l',
    'app.kubernetes.io/component=operator',
    '--tail=-1',
    '--prefix=false',
  );
  const events = logs
    .split('\n')
    .filter((line) => line.startsWith('{"audit":'))
    .map((line) => (JSON.parse(line) as { audit: AuditRecord }).audit)
    .toSorted((a, b) => a.at.localeCompare(b.at));
  for (const event of events.filter((one) => one.tool !== undefined || one.type !== 'request').slice(-12)) {
    print([event.at, event.type.padEnd(8), (event.subject?.name ?? '-').padEnd(6), describe(event)].join('  '));
  }
  expectAnswer(
    events.some((event) => event.tool === 'whoami'),
    'no audit event names the tool whoami',
  );
}

interface AuditRecord {
  readonly at: string;
  readonly type: string;
  readonly subject?: { readonly name: string };
  readonly tool?: string;
  readonly decision?: string;
  readonly httpStatus?: number;
  readonly keyVersion?: number;
  readonly headerNames?: readonly string[];
}

function describe({ tool, decision, httpStatus, keyVersion, headerNames }: AuditRecord): string {
  const version = keyVersion === undefined ? undefined : `key version ${keyVersion}`;
  return [tool, decision, httpStatus, version, headerNames?.join(',')].filter((part) => part !== undefined).join(' ');
}

function showMetrics(cluster: Cluster): void {
  heading("The sidecar's metrics");
  const running = ['--field-selector', 'status.phase=Running'];
  const [pod = ''] = cluster
    .kubectl('-n', 'mcp-demo', 'get', 'pods', '-l', 'mcpkeyring.io/server=notes', ...running, '-o', 'name')
    .split('\n');
  const path = `/api/v1/namespaces/mcp-demo/pods/${pod.replace('pod/', '')}:15082/proxy/metrics`;
  const metrics = cluster.kubectl('get', '--raw', path);
  metrics
    .split('\n')
    .filter((line) => /^mcpkeyring_\w+/u.test(line))
    .slice(0, 14)
    .forEach(print);
}

export function heading(text: string): void {
  console.log(`\n\u001b[1m── ${text}\u001b[0m`);
}

function print(text: string): void {
  console.log(text.trimEnd());
}

function expectAnswer(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(`the demo did not go as it must: ${otherwise}`);
}
