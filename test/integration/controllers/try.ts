import { startControlPlane } from '#test/support/control-plane.ts';
import { installPrerequisites, OperatorProcess, applyAll } from './installation.ts';
await using plane = await startControlPlane();
await installPrerequisites(plane);
await using operator = await OperatorProcess.start(plane, ['--log-level=debug'], process.argv.slice(2));
try {
  await new Promise((r) => setTimeout(r, 3000));
  console.log((await operator.get('/readyz')).text);
  await operator.said('started', 10000);
  await new Promise((r) => setTimeout(r, 3000));
  console.log((await operator.get('/readyz')).text);
  await applyAll(plane, [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'team-a', labels: { org: 'acme' } } },
    {
      apiVersion: 'mcpkeyring.io/v1alpha1',
      kind: 'Organization',
      metadata: { name: 'acme' },
      spec: {
        namespaceSelector: { matchLabels: { org: 'acme' } },
        identity: {
          issuers: [
            { name: 'cluster', type: 'Kubernetes', audiences: ['keyring'] },
            { name: 'login', type: 'OIDC', issuerURL: 'https://127.0.0.1:1', audiences: ['x'] },
          ],
        },
      },
    },
    {
      apiVersion: 'mcpkeyring.io/v1alpha1',
      kind: 'McpServer',
      metadata: { name: 'github', namespace: 'team-a' },
      spec: {
        upstream: { managed: { image: 'x', port: 8080 } },
        authentication: { headers: [{ name: 'Authorization' }] },
      },
    },
  ]);
  await new Promise((r) => setTimeout(r, 4000));
  console.log(await plane.kubectl(['get', 'org,mcps,svc,netpol,deploy,cm', '-n', 'team-a']));
  console.log(
    (await operator.get('/metrics')).text
      .split('\n')
      .filter((l) => /resident|requests_total|reconcile_total/.test(l))
      .join('\n'),
  );
} catch (e) {
  console.log(e);
}
console.log(operator.lines.map((l) => JSON.stringify(l)).join('\n'));
console.log('exit', await operator.stop());
