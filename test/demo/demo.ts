/**
 * `make demo` and `make demo-down`. Usage: node test/demo/demo.ts up|down, with CLUSTER=lab|kind|current to override the choice.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import {
  Cluster,
  chooseCluster,
  isLabBuilt,
  kindClusters,
  kindKubeconfig,
  labCommand,
  requirePrograms,
  root,
  targetOf,
} from './cluster.ts';
import { buildImages, imageNames, installApps, installCharts, installMcpServer, makeDemoKeys } from './install.ts';
import { ownershipPath, refuseForeign, releasesPath, releasesSelector, removal, type Found } from './ownership.ts';
import { heading, showScenario } from './scenario.ts';
import {
  deliveryFor,
  describeDelivery,
  downHint,
  kindDownCommand,
  kindUpCommand,
  neededPrograms,
  type ClusterKind,
  type Target,
} from './target.ts';

const startedAt = Date.now();
const asked = process.env['CLUSTER'];
/** Whether a cluster may have been changed: only then there is something to look at after an error. */
let hasBegun = false;

async function step<T>(title: string, action: () => T | Promise<T>): Promise<T> {
  const seconds = (): string => `${Math.round((Date.now() - startedAt) / 1000)} s`.padStart(5);
  console.log(`${seconds()}  ${title}`);
  return action();
}

function program(command: string, ...args: readonly string[]): void {
  if (spawnSync(command, args, { cwd: root, stdio: 'inherit' }).status !== 0)
    throw new Error(`${command} ${args.join(' ')} failed`);
}

async function up(kind: ClusterKind): Promise<void> {
  requirePrograms(neededPrograms('up', kind), kind);
  const target = targetOf(kind);
  const delivery = deliveryFor(target, process.env['REGISTRY'] ?? '');
  requirePrograms(neededPrograms('up', kind, delivery), kind);
  const cluster = new Cluster(target);
  const refuse = (): void => {
    if (kind === 'current') refuseForeign(lookAt(cluster), target.context ?? '');
  };
  refuse();
  if (kind === 'current')
    console.log(
      `The demo goes to the context ${target.context}. Images are built here and ${describeDelivery(delivery)}.`,
    );
  hasBegun = kind !== 'current';
  const names = imageNames(delivery, startedAt);
  await clusterUp(kind);
  await step('bundling operator, sidecar, CLI and demo programs', () => program('node', 'build/bundle.ts'));
  await step('building the images', () => buildImages(delivery, names));
  // Building takes minutes: somebody may have installed something meanwhile.
  refuse();
  hasBegun = true;
  const keys = makeDemoKeys();
  await step('starting the identity provider, the notes API and a client pod', () => installApps(cluster, keys, names));
  await step('installing the charts mcp-keyring-crds and mcp-keyring', () => installCharts(cluster, names));
  await step('registering the McpServer notes and starting it', () => installMcpServer(cluster, names));
  await step('the demo', () => showScenario(cluster, keys));
  showWhatNext(target);
}

async function clusterUp(kind: ClusterKind): Promise<void> {
  if (kind === 'lab') {
    const first = isLabBuilt() ? '' : ' (the first time builds Kubernetes: about 10 minutes)';
    await step(`lab cluster: tools and node${first}`, () => labCommand('up'));
  }
  if (kind === 'kind') await step('kind cluster', () => kindUp());
}

function kindUp(): void {
  mkdirSync(dirname(kindKubeconfig), { recursive: true });
  const [command = '', ...args] = kindUpCommand(kindClusters(), kindKubeconfig);
  program(command, ...args);
}

function lookAt(cluster: Cluster): Found {
  return {
    namespaces: cluster.kubectl('get', 'namespaces', '-o', ownershipPath),
    definitions: cluster.kubectl('get', 'crds', '-o', ownershipPath),
    releases: cluster.kubectl('get', 'secrets', '-A', '-l', releasesSelector, '-o', releasesPath),
  };
}

/** How to reach the target by hand. */
function shellFor({ kind, context }: Target): string {
  if (kind === 'lab') return 'test/lab/lab shell';
  if (kind === 'kind') return `a shell after: export KUBECONFIG=${kindKubeconfig}`;
  return `a shell with your kubeconfig and its context ${context}`;
}

function showWhatNext(target: Target): void {
  heading(`Done in ${Math.round((Date.now() - startedAt) / 1000)} s. Go on by hand in: ${shellFor(target)}`);
  console.log(`  export PATH="$PWD/dist/cli:$PWD/node_modules/.bin:$PATH"
  kubectl get mcps,ukp,uk -A
  kubectl mcpkeys list -n mcp-demo
  kubectl mcpkeys check-inject deploy/notes-mcp-server -n mcp-demo
  kubectl -n mcp-keyring logs -l app.kubernetes.io/component=operator
Remove everything: ${downHint(asked)}`);
}

function down(kind: ClusterKind): void {
  requirePrograms(neededPrograms('down', kind), kind);
  if (kind === 'lab') return labCommand('down');
  if (kind === 'kind') return kindDown();
  const target = targetOf(kind);
  const cluster = new Cluster(target);
  const { commands, left } = removal(lookAt(cluster));
  const what = commands.length === 0 ? 'Nothing to remove that the demo made' : 'Removing what the demo made';
  console.log(`${what}; context ${target.context}`);
  for (const one of left) console.log(`left, the demo did not make it: ${one}`);
  for (const command of commands) cluster.run(command, { inherit: true });
}

function kindDown(): void {
  const [command, ...args] = kindDownCommand(kindClusters(), kindKubeconfig) ?? [];
  if (command === undefined) console.log("the demo's kind cluster does not exist: nothing to remove");
  else program(command, ...args);
}

function whereToLook(): string {
  return `The cluster is left as it is, so that you can look at the pods and events of the namespaces mcp-keyring and mcp-demo.
Run the same again to go on, or remove it: ${downHint(asked)}`;
}

try {
  const action = process.argv[2];
  if (action !== 'up' && action !== 'down') throw new Error('usage: node test/demo/demo.ts up|down');
  const kind = chooseCluster(asked);
  if (action === 'up') await up(kind);
  else down(kind);
} catch (error) {
  console.error(`\nerror: ${error instanceof Error ? error.message : String(error)}`);
  if (hasBegun) console.error(whereToLook());
  process.exit(1);
}
