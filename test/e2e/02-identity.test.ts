import { generateKeyPairSync, sign } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Agent, fetch } from 'undici';
import { describe, expect, inject, test } from 'vitest';
import { verifies } from '#test/requirements.ts';
import { apply, clusterIpOf, kubectl, kubectlJson, run, tryRun } from './support/cluster.ts';
import { namespace, postToolCall, setKey, tokenOf } from './support/users.ts';
import { waitUntil } from './support/wait.ts';

const keys = inject('demoKeys');
/** Clock skew that a token's end is given, plus a second. */
const skewMs = 61_000;

/** The same claims and header, signed by somebody else. */
function forge(token: string): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const [header = '', claims = ''] = token.split('.');
  const signature = sign('sha256', Buffer.from(`${header}.${claims}`), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return `${header}.${claims}.${signature.toString('base64url')}`;
}

function unsigned(token: string): string {
  const header = Buffer.from(JSON.stringify({ alg: 'none', typ: 'at+jwt' })).toString('base64url');
  return `${header}.${token.split('.')[1] ?? ''}.`;
}

describe('identity', () => {
  test(verifies('identity:bad-token'), async () => {
    const shortLived = await tokenOf('erin');
    const issuedAt = performance.now();
    const token = await tokenOf('alice');
    const address = await clusterIpOf(namespace, 'notes-mcp');
    const bad: Record<string, string | undefined> = {
      forged: forge(token),
      unsigned: unsigned(token),
      'foreign audience': await tokenOf('alice', 'urn:somebody-else'),
      garbage: 'not-a-token',
      none: undefined,
    };
    await delay(Math.max(0, skewMs + 1000 - (performance.now() - issuedAt)));
    bad['expired'] = shortLived;
    for (const [name, credential] of Object.entries(bad)) {
      const answer = await postToolCall({
        address,
        id: name,
        ...(credential === undefined ? {} : { token: credential }),
      });
      expect(answer.status, name).toBe(401);
      expect(answer.challenge, name).toMatch(/^Bearer/u);
      expect(answer.body, name).not.toContain('@notes');
    }
  });

  test(verifies('identity:other-server'), async () => {
    const token = await tokenOf('alice');
    await setKey(token, keys.alice);
    await apply(otherServer, otherDeployment);
    await kubectl('-n', namespace, 'rollout', 'status', 'deploy/other', '--timeout=120s');
    const ask = await brokerAsker();
    const [ours, others] = await Promise.all([podOf('notes'), podOf('other')]);
    const body = { server: { namespace, name: 'notes' }, credential: token };
    expect((await ask(await podToken(ours), body)).text).toContain('granted');
    const foreign = await ask(await podToken(others), body);
    expect(foreign.status).toBe(403);
    expect(foreign.text).not.toContain(keys.alice);
  });

  test('nobody but a kubelet can have a token made for the broker, and another audience is refused', async () => {
    const made = await tryRun([
      'kubectl',
      '-n',
      namespace,
      'create',
      'token',
      'default',
      '--audience',
      'mcp-keyring-broker',
    ]);
    expect(made.status).not.toBe(0);
    expect(made.stderr).toContain('mcp-keyring-broker-token-requests');
    const ask = await brokerAsker();
    const plain = await kubectl('-n', namespace, 'create', 'token', 'default');
    const body = { server: { namespace, name: 'notes' }, credential: await tokenOf('alice') };
    expect((await ask(plain.trim(), body)).status).toBe(401);
  });

  test('the token of a deleted pod is refused within 10 s', async () => {
    const ask = await brokerAsker();
    const pod = await podOf('other');
    const token = await podToken(pod);
    const body = { server: { namespace, name: 'other' }, credential: await tokenOf('alice') };
    expect((await ask(token, body)).status).toBe(200);
    await kubectl('-n', namespace, 'delete', 'pod', pod.name, '--grace-period=1');
    await waitUntil('the refusal', 10_000, async () => (await ask(token, body)).status >= 401);
  });
});

const otherServer = {
  apiVersion: 'mcpkeyring.io/v1alpha1',
  kind: 'McpServer',
  metadata: { name: 'other', namespace },
  spec: {
    upstream: { workload: { port: 3000 } },
    authentication: { headers: [{ name: 'X-API-Key', template: '{value}' }] },
  },
};

const otherDeployment = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'other', namespace },
  spec: {
    selector: { matchLabels: { app: 'other' } },
    template: {
      metadata: { labels: { app: 'other', 'mcpkeyring.io/server': 'other' } },
      spec: {
        automountServiceAccountToken: false,
        containers: [
          {
            name: 'server',
            image: 'localhost/mcp-keyring-demo:dev',
            imagePullPolicy: 'IfNotPresent',
            args: ['/app/mcp-server.js', 'http://notes.mcp-demo.svc'],
          },
        ],
      },
    },
  },
};

interface Pod {
  readonly name: string;
  readonly uid: string;
}

async function podOf(server: string): Promise<Pod> {
  interface PodObject {
    readonly metadata: Pod & { readonly deletionTimestamp?: string };
  }
  const { items } = await kubectlJson<{ items: PodObject[] }>(
    '-n',
    namespace,
    'get',
    'pods',
    '-l',
    `mcpkeyring.io/server=${server}`,
  );
  const alive = items.find((item) => item.metadata.deletionTimestamp === undefined);
  if (alive === undefined) throw new Error(`no pod of ${server}`);
  return alive.metadata;
}

/** What a thief of the node would hold: the token that the kubelet gave the sidecar of that pod. Nobody else can have one made. */
async function podToken(pod: Pod): Promise<string> {
  const volume = `/var/lib/kubelet/pods/${pod.uid}/volumes/kubernetes.io~projected/mcp-keyring-identity`;
  return (await run(['test/lab/lab', 'node', '--', 'cat', `${volume}/token`])).trim();
}

type Ask = (podToken: string, body: object) => Promise<{ status: number; text: string }>;

async function brokerAsker(): Promise<Ask> {
  const address = await clusterIpOf('mcp-keyring', 'mcp-keyring-broker');
  const ca = await kubectl('-n', namespace, 'get', 'configmap', 'mcp-keyring-ca', '-o', 'jsonpath={.data.ca\\.crt}');
  const dispatcher = new Agent({
    connect: { ca, lookup: (_name, _options, found) => found(null, [{ address, family: 4 }]) },
  });
  return async (podToken_, body) => {
    const response = await fetch('https://mcp-keyring-broker.mcp-keyring.svc/v1/leases', {
      method: 'POST',
      headers: {
        authorization: `Bearer ${podToken_}`,
        'content-type': 'application/json',
        'mcp-keyring-contract': '1',
      },
      body: JSON.stringify(body),
      dispatcher,
    });
    return { status: response.status, text: await response.text() };
  };
}
