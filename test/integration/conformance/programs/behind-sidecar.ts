/**
 * Runs a client against a sidecar in front of the server that it is given: `node behind-sidecar.ts <program> <url>`. The conformance
 * suite starts its own server for each scenario, so the sidecar is started for each as well.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { SidecarProcess, type SidecarOptions } from '../../sidecar/support/sidecar-process.ts';

/** In the environment, as JSON. */
export interface BehindSidecar {
  readonly broker: SidecarOptions['broker'];
  readonly authorization: string;
}

const [program = '', target = ''] = process.argv.slice(2);
const { broker, authorization } = JSON.parse(process.env['BEHIND_SIDECAR'] ?? '') as BehindSidecar;
const server = new URL(target);
await using sidecar = await SidecarProcess.start({ broker, upstreamPort: Number(server.port), path: server.pathname });
const preload = resolve(import.meta.dirname, 'show-credential.ts');
const client = spawn(process.execPath, ['--import', preload, program, `${sidecar.url}${server.search}`], {
  env: { ...process.env, SHOWN_AUTHORIZATION: authorization },
  stdio: 'inherit',
});
const [code] = (await once(client, 'close')) as [number | null];
// Ended as in a pod, so that its audit events arrive.
await sidecar.stop();
process.exitCode = code ?? 1;
