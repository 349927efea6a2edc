import { expect, test } from 'vitest';
import { parseOptions } from '#sidecar/options.ts';

/** As the injector writes them. */
const injected = [
  '--server=team-a/notes',
  '--upstream=http://127.0.0.1:3000',
  '--path=/mcp',
  '--broker=https://mcp-keyring-broker.mcp-keyring.svc:443',
  '--ca=/var/run/mcp-keyring/ca/ca.crt',
  '--token=/var/run/mcp-keyring/identity/token',
];

test('reads what the injector writes, with defaults for the rest', () => {
  expect(parseOptions(injected)).toEqual({
    kind: 'options',
    options: {
      serving: {
        mode: 'sidecar',
        server: { namespace: 'team-a', name: 'notes' },
        upstream: 'http://127.0.0.1:3000',
        path: '/mcp',
      },
      broker: 'https://mcp-keyring-broker.mcp-keyring.svc:443',
      caFile: '/var/run/mcp-keyring/ca/ca.crt',
      tokenFile: '/var/run/mcp-keyring/identity/token',
      address: '::',
      ports: { ingress: 15_080, health: 15_081, metrics: 15_082 },
      connectMsMax: 10_000,
      answerMsMax: 0,
      bodyBytesMax: 16_777_216,
      allowedHosts: [],
      allowedOrigins: [],
      drainSeconds: 25,
    },
  });
});

test('reports every problem at once', () => {
  const parsed = parseOptions(['--server=notes', '--listen=70000', '--colour=red', 'what', '--path=/a', '--path=/b']);
  expect(parsed).toEqual({
    kind: 'invalid',
    problems: [
      '--colour=red is not an option, see --help',
      'what is not an option, see --help',
      '--server is "notes", expected <namespace>/<name> of the McpServer in this pod; egress: of one that is served, repeatable',
      '--upstream is missing, expected http://127.0.0.1:<port> of its container',
      '--path is given 2 times, expected once',
      '--broker is missing, expected https://<host>:<port> of the key broker',
      '--ca is missing, expected file with the certificates that the broker is verified with',
      '--token is missing, expected file with the pod token that the broker is shown',
      '--listen is "70000", expected an integer from 0 to 65535',
    ],
  });
});

const connected = injected.slice(3);

test('reads what a gateway and what the proxy of an agent is started with', () => {
  expect(parseOptions([...connected, '--mode=gateway'])).toMatchObject({
    options: { serving: { mode: 'gateway', externalUrl: undefined } },
  });
  expect(parseOptions([...connected, '--mode=gateway', '--external-url=https://mcp.example/'])).toMatchObject({
    options: { serving: { mode: 'gateway', externalUrl: 'https://mcp.example' } },
  });
  const proxied = ['--https-proxy=http://proxy.example:3128', '--https-proxy-credentials=/etc/proxy/credentials'];
  expect(parseOptions([...connected, '--mode=gateway', ...proxied])).toMatchObject({
    options: {
      serving: { forwardProxy: { url: 'http://proxy.example:3128', credentialsFile: '/etc/proxy/credentials' } },
    },
  });
  expect(parseOptions([...connected, '--mode=egress', '--server=team-a/notes', '--server=team-b/wiki'])).toMatchObject({
    options: {
      serving: {
        mode: 'egress',
        servers: [
          { namespace: 'team-a', name: 'notes' },
          { namespace: 'team-b', name: 'wiki' },
        ],
      },
    },
  });
});

test.each([
  [['--mode=proxy'], '--mode is "proxy", expected sidecar, gateway or egress'],
  [['--mode=gateway', '--server=a/b'], '--server is not for --mode=gateway'],
  [['--mode=egress', '--server=a/b', '--upstream=http://127.0.0.1:1'], '--upstream is not for --mode=egress'],
  [['--mode=egress', '--server=a/b', '--external-url=https://a'], '--external-url is not for --mode=egress'],
  [['--mode=gateway', '--https-proxy=http://user:secret@proxy.example:3128'], '--https-proxy is'],
  [['--mode=gateway', '--https-proxy=https://proxy.example:3128'], '--https-proxy is'],
  [['--mode=gateway', '--https-proxy=http://proxy.example'], '--https-proxy is'],
  [['--mode=gateway', '--https-proxy-credentials=/x'], '--https-proxy-credentials needs --https-proxy'],
  [['--mode=egress'], '--server is missing'],
  [['--mode=gateway', '--external-url=https://a/b'], '--external-url is'],
])('refuses what does not belong together: %s', (argv, problem) => {
  expect(parseOptions([...connected, ...argv])).toMatchObject({
    kind: 'invalid',
    problems: expect.arrayContaining([expect.stringContaining(problem)]),
  });
});

test.each([
  ['--upstream=http://10.0.0.1:3000', 'keys would leave the pod'],
  ['--upstream=http://127.0.0.1.evil.example:3000', 'keys would leave the pod'],
  ['--upstream=https://127.0.0.1:3000', 'not supported'],
  ['--upstream=http://user@127.0.0.1:3000', 'a user in the address'],
  ['--broker=http://broker', 'the broker is never asked in the clear'],
  ['--broker=https://broker/path', 'a path'],
  ['--path=mcp', 'relative'],
  ['--path=/mcp?x=1', 'a query'],
  ['--ca=ca.crt', 'relative'],
  ['--allow-origin=*', 'no wildcard'],
  ['--allow-host=Notes.example:80', 'a port'],
  ['--drain-seconds=-1', 'negative'],
])('refuses %s (%s)', (argument) => {
  const name = argument.slice(0, argument.indexOf('='));
  const parsed = parseOptions([...injected.filter((other) => !other.startsWith(`${name}=`)), argument]);
  expect(parsed).toMatchObject({ kind: 'invalid', problems: [expect.stringContaining(name)] });
});

test('takes lists of hosts and origins', () => {
  const parsed = parseOptions([
    ...injected,
    '--allow-host=a.example',
    '--allow-host=b.example',
    '--allow-origin=https://a.example',
  ]);
  expect(parsed).toMatchObject({
    options: { allowedHosts: ['a.example', 'b.example'], allowedOrigins: ['https://a.example'] },
  });
});

test('explains itself', () => {
  expect(parseOptions(['--help'])).toMatchObject({ kind: 'help', text: expect.stringContaining('--body-bytes-max=') });
});

test('tells the sidecar to drain when nothing else is said', () => {
  expect(parseOptions(['--drain'])).toEqual({ kind: 'drain' });
  expect(parseOptions([...injected, '--drain'])).toMatchObject({ kind: 'invalid' });
});
