import { kubeconfigConnection } from '#operator/kube/connection.ts';

import { Replica } from './cluster.ts';

/** An operator replica's key store in a process of its own, for its memory to be searched. Argument: a kubeconfig. */
const [kubeconfig = ''] = process.argv.slice(2);
await using replica = await Replica.start({ source: kubeconfigConnection(kubeconfig) });
process.stdout.write(`${replica.keks.currentKid}\n`);
process.stdin.resume();
await new Promise((done) => process.stdin.once('end', done));
