/**
 * `make demo` and `make demo-down`. Usage: node test/demo/demo.ts up|down, with CLUSTER=lab|kind|current to override the choice.
 */
import { spawnSync } from 'node:child_process';
import { Cluster, chooseCluster, labCommand, root } from './cluster.ts';
import { buildImages, installApps, installCharts, installMcpServer, makeDemoKeys } from './install.ts';
import { heading, showScenario } from './scenario.ts';

const startedAt = Date.now();

async function step<T>(title: string, action: () => T | Promise<T>): Promise<T> {
  const seconds = (): string => `${Math.round((Date.now() - startedAt) / 1000)} s`.padStart(5);
  console.log(`${seconds()}  ${title}`);
  return action();
}

function program(command: string, ...args: readonly string[]): void {
  if (spawnSync(command, args, { cwd: root, stdio: 'inherit' }).status !== 0)
    throw new Error(`${command} ${args.join(' ')} failed`);
}

async function up(cluster: Cluster): Promise<void> {
  if (cluster.kind === 'lab')
    await step('lab cluster: tools and node (the first time builds Kubernetes: about 10 minutes)', () =>
      labCommand('up'),
    );
  if (cluster.kind === 'kind') await step('kind cluster', () => kindUp());
  await step('bundling operator, sidecar, CLI and demo programs', () => program('node', 'build/bundle.ts'));
  await step('building the images', () => buildImages(cluster));
  const keys = makeDemoKeys();
  await step('starting the identity provider, the notes API and a client pod', () => installApps(cluster, keys));
  await step('installing the charts mcp-keyring-crds and mcp-keyring', () => installCharts(cluster));
  await step('registering the McpServer notes and starting it', () => installMcpServer(cluster));
  await step('the demo', () => showScenario(cluster, keys));
  showWhatNext(cluster);
}

function kindUp(): void {
  const clusters = spawnSync('kind', ['get', 'clusters'], { encoding: 'utf8' }).stdout;
  if (!clusters.split('\n').includes('kind')) program('kind', 'create', 'cluster', '--wait', '120s');
}

function showWhatNext(cluster: Cluster): void {
  const shell = cluster.kind === 'lab' ? 'test/lab/lab shell' : 'a shell with your kubeconfig';
  heading(`Done in ${Math.round((Date.now() - startedAt) / 1000)} s. Go on by hand in: ${shell}`);
  console.log(`  export PATH="$PWD/dist/cli:$PWD/node_modules/.bin:$PATH"
  kubectl get mcps,ukp,uk -A
  kubectl mcpkeys list -n mcp-demo
  kubectl mcpkeys check-inject deploy/notes-mcp-server -n mcp-demo
  kubectl -n mcp-keyring logs -l app.kubernetes.io/component=operator
Remove everything: make demo-down`);
}

function down(cluster: Cluster): void {
  if (cluster.kind === 'lab') return labCommand('down');
  if (cluster.kind === 'kind') return program('kind', 'delete', 'cluster');
  for (const command of [
    ['kubectl', 'delete', 'namespace', 'mcp-demo', '--ignore-not-found'],
    ['helm', 'uninstall', 'mcp-keyring', '--namespace', 'mcp-keyring', '--ignore-not-found', '--wait'],
    ['helm', 'uninstall', 'mcp-keyring-crds', '--namespace', 'mcp-keyring', '--ignore-not-found', '--wait'],
    ['kubectl', 'delete', 'namespace', 'mcp-keyring', 'mcp-keyring-keys', '--ignore-not-found'],
  ]) {
    cluster.run(command, { inherit: true });
  }
}

try {
  const cluster = new Cluster(chooseCluster(process.env['CLUSTER']));
  if (process.argv[2] === 'up') await up(cluster);
  else if (process.argv[2] === 'down') down(cluster);
  else throw new Error('usage: node test/demo/demo.ts up|down');
} catch (error) {
  console.error(`\nerror: ${error instanceof Error ? error.message : String(error)}`);
  console.error('The cluster is left as it is, so that you can look: kubectl -n mcp-keyring get pods,events');
  process.exit(1);
}
