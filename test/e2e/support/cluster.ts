import { execFile } from 'node:child_process';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '../../..');

export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program inside the lab's network, where the tests run already. Never throws for an exit status. */
export function tryRun(command: readonly string[], input = '', encoding: BufferEncoding = 'utf8'): Promise<Outcome> {
  const [program = '', ...args] = command;
  return new Promise((done) => {
    const env = { ...process.env, PATH: `${join(root, 'dist/cli')}:${process.env['PATH'] ?? ''}` };
    const child = execFile(
      program,
      args,
      { cwd: root, env, encoding, maxBuffer: 256 * 1_048_576 },
      (error, stdout, stderr) => {
        const status = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
        done({ status, stdout, stderr: stderr === '' && error !== null ? error.message : stderr });
      },
    );
    child.stdin?.end(input);
  });
}

export async function run(command: readonly string[], input = '', encoding: BufferEncoding = 'utf8'): Promise<string> {
  const outcome = await tryRun(command, input, encoding);
  if (outcome.status !== 0) throw new Error(`\`${command.join(' ')}\` failed: ${outcome.stderr}${outcome.stdout}`);
  return outcome.stdout;
}

export function kubectl(...args: readonly string[]): Promise<string> {
  return run(['kubectl', ...args]);
}

export async function kubectlJson<T>(...args: readonly string[]): Promise<T> {
  return JSON.parse(await kubectl(...args, '-o', 'json')) as T;
}

/** Server-side applies one object or a list of them. */
export async function apply(...objects: readonly object[]): Promise<void> {
  const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
  await run(['kubectl', 'apply', '--server-side', '--force-conflicts', '-f', '-'], list);
}

/** The same, expected to be refused: resolves what the API server said. */
export async function refused(object: object): Promise<string> {
  const outcome = await tryRun(['kubectl', 'apply', '--server-side', '-f', '-'], JSON.stringify(object));
  if (outcome.status === 0) throw new Error(`the API server took what it had to refuse: ${outcome.stdout}`);
  return outcome.stderr;
}

interface ServiceObject {
  readonly spec: { readonly clusterIP: string };
}

export async function clusterIpOf(namespace: string, service: string): Promise<string> {
  return (await kubectlJson<ServiceObject>('-n', namespace, 'get', 'service', service)).spec.clusterIP;
}
