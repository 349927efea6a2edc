import { spawn } from 'node:child_process';
import { CliError } from './errors.ts';

const outputBytesMax = 16 * 1_048_576;

/**
 * The user's own kubectl, so that every kubeconfig and every way to log in works as it does for them. What a call sends goes through
 * its standard input, never its arguments.
 */
export class Kubectl {
  readonly #flags: readonly string[];

  constructor(flags: readonly string[]) {
    this.#flags = flags;
  }

  /** Runs `kubectl <args> -o json`; `undefined` when the API server says NotFound. */
  async json<T>(args: readonly string[], input?: string): Promise<T | undefined> {
    const outcome = await this.#run([...args, '-o', 'json'], input);
    // What the API server sends has passed its schema; the caller names the shape.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    if (outcome.status === 0) return JSON.parse(outcome.stdout) as T;
    if (/\(NotFound\)/u.test(outcome.stderr)) return undefined;
    throw failure(args, outcome.stderr);
  }

  /** The same without a parse: standard output as text. */
  async text(args: readonly string[]): Promise<string> {
    const outcome = await this.#run(args);
    if (outcome.status !== 0) throw failure(args, outcome.stderr);
    return outcome.stdout;
  }

  #run(args: readonly string[], input?: string): Promise<{ status: number; stdout: string; stderr: string }> {
    return new Promise((resolve, reject) => {
      const child = spawn('kubectl', [...this.#flags, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
      const output = { stdout: '', stderr: '' };
      const collect = (stream: 'stdout' | 'stderr') => (chunk: Buffer) => {
        output[stream] += chunk.toString('utf8');
        if (output[stream].length > outputBytesMax) child.kill();
      };
      child.stdout.on('data', collect('stdout'));
      child.stderr.on('data', collect('stderr'));
      child.on('error', () =>
        reject(new CliError('Kubectl', 'kubectl is not on the PATH', ['install kubectl, version 1.28 or later'])),
      );
      child.on('close', (status) => resolve({ status: status ?? 1, ...output }));
      // kubectl may have ended without reading its input.
      child.stdin.on('error', () => undefined);
      child.stdin.end(input ?? '');
    });
  }
}

/** What kubectl puts before the API server's own words. */
const prefix = /^(?:error: |Error from server(?: \(\w+\))?: )?(?:error when creating "STDIN": )?/u;

function failure(args: readonly string[], stderr: string): CliError {
  const message = stderr.trim().split('\n').slice(-3).join('\n') || 'no message';
  return new CliError('Kubectl', message.replace(prefix, ''), hintsFor(args, stderr));
}

function forbiddenHint(args: readonly string[]): string {
  const ask = "your account lacks a right; ask an administrator to bind the ClusterRole 'mcp-keyring-user' to you";
  return args.includes('-A')
    ? `${ask} in all namespaces (a ClusterRoleBinding), or name one namespace with -n`
    : `${ask} in this namespace`;
}

export function hintsFor(args: readonly string[], stderr: string): readonly string[] {
  if (/\(Forbidden\)/u.test(stderr)) return [forbiddenHint(args)];
  const isOurs = `${args.join(' ')} ${stderr}`.includes('mcpkeyring.io');
  if (isOurs && /the server doesn't have a resource type|no matches for kind/u.test(stderr)) {
    return ['MCP Keyring is not installed in this cluster: its resource definitions are missing'];
  }
  return [`from: kubectl ${args.slice(0, 3).join(' ')}`];
}
