import { describe, expect, test } from 'vitest';

import { parseOptions } from '#operator/options.ts';

function problemsOf(...argv: readonly string[]): readonly string[] {
  const parsed = parseOptions(argv);
  return parsed.kind === 'problems' ? parsed.problems : [];
}

describe('the command line', () => {
  test('needs nothing: the defaults are those of the chart', () => {
    expect(parseOptions([])).toEqual({
      kind: 'options',
      options: {
        targets: new Set(['controllers', 'admission', 'broker']),
        namespace: 'mcp-keyring',
        keyNamespace: 'mcp-keyring-keys',
        excludedNamespaces: new Set([
          'kube-system',
          'kube-public',
          'kube-node-lease',
          'mcp-keyring',
          'mcp-keyring-keys',
        ]),
        clusterDomain: 'cluster.local',
        auditDir: '/var/lib/mcp-keyring/audit',
        auditBytesMax: 8 * 1024 ** 3,
        logLevel: 'info',
        bindAddress: '0.0.0.0',
        brokerPort: 8443,
        webhookPort: 9443,
        healthPort: 8081,
        metricsPort: 8080,
        podName: 'mcp-keyring-operator',
      },
    });
  });

  test('takes a page for keys, which is reached over TLS', () => {
    const template = 'https://keys.example.com/{namespace}/{server}';
    const parsed = parseOptions([`--key-page-url=${template}`, '--key-page-clients=ide, desktop']);
    expect(parsed).toMatchObject({ options: { keyPage: { template, assumedClients: ['ide', 'desktop'] } } });
    for (const url of ['http://keys.example.com/{server}', 'keys.example.com', 'https://a b/', 'https://u:p@keys/']) {
      expect(problemsOf(`--key-page-url=${url}`)).toEqual([expect.stringContaining('is not an https URL')]);
    }
    expect(problemsOf('--key-page-url=https://keys/{user}')[0]).toContain('{user}; known are {namespace} and {server}');
  });

  test('takes values with and without an equals sign', () => {
    const parsed = parseOptions(['--targets=broker', '--broker-port', '0', '--kubeconfig=/tmp/k', '--log-level=debug']);
    expect(parsed).toMatchObject({
      options: { targets: new Set(['broker']), brokerPort: 0, kubeconfig: '/tmp/k', logLevel: 'debug' },
    });
  });

  test('reports every problem at once', () => {
    const problems = problemsOf(
      '--targets=broker,gateway',
      '--namespace=Upper',
      '--broker-port=99999',
      '--metrics-port=-1',
      '--log-level=chatty',
      '--verbose',
      'stray',
      '--audit-dir=',
      '--audit-bytes-max=2Gi',
      '--kubeconfig',
    );
    expect(problems).toEqual([
      '--verbose is not known',
      'stray is no flag; write --name=value',
      '--targets has gateway; known are controllers, admission, broker',
      '--namespace=Upper is not a namespace, for example mcp-keyring',
      '--kubeconfig has no value',
      '--audit-dir has no value',
      '--audit-bytes-max=2Gi is not a number of bytes from 16777216 to 1099511627776',
      '--log-level=chatty is not one of debug, info, warn, error',
      '--broker-port=99999 is not a port from 0 to 65535',
      '--metrics-port=-1 is not a port from 0 to 65535',
    ]);
  });

  test('bounds the audit log from both sides', () => {
    expect(parseOptions(['--audit-bytes-max=2000000000'])).toMatchObject({ options: { auditBytesMax: 2_000_000_000 } });
    expect(problemsOf('--audit-bytes-max=16777215')).toHaveLength(1);
    expect(problemsOf('--audit-bytes-max=1099511627777')).toHaveLength(1);
  });

  test('always counts its own two namespaces among the excluded', () => {
    const parsed = parseOptions(['--namespace=op', '--key-namespace=keys', '--excluded-namespaces=kube-system,,cni']);
    expect(parsed).toMatchObject({ options: { excludedNamespaces: new Set(['kube-system', 'cni', 'op', 'keys']) } });
    expect(problemsOf('--excluded-namespaces=a,B')).toEqual(['--excluded-namespaces has B, which is no namespace']);
  });

  test('refuses to keep sealed keys beside the operator', () => {
    expect(problemsOf('--namespace=a', '--key-namespace=a')).toEqual([
      '--namespace and --key-namespace are the same; sealed keys need a namespace of their own',
    ]);
  });

  test('explains itself', () => {
    const parsed = parseOptions(['--help', '--broker-port=nonsense']);
    expect(parsed).toMatchObject({ kind: 'help' });
    expect(parsed.kind === 'help' ? parsed.text : '').toMatch(
      /--key-namespace +namespace of the sealed keys \(mcp-keyring-keys\)/,
    );
  });
});
