import { spawnSync } from 'node:child_process';
import { join, resolve } from 'node:path';

export const root: string = resolve(import.meta.dirname, '../..');
const lab = join(root, 'test/lab/lab');

/** The cluster the demo runs on, and how commands reach it. */
export type ClusterKind = 'lab' | 'kind' | 'current';

export interface CommandOptions {
  readonly input?: string;
  /** Show the output while it runs. */
  readonly inherit?: boolean;
}

/** Runs commands that need the cluster; in the lab that is inside its network namespace. */
export class Cluster {
  readonly kind: ClusterKind;

  constructor(kind: ClusterKind) {
    this.kind = kind;
  }

  /** Resolves standard output; a failing command throws with its own last words. */
  run(command: readonly string[], options: CommandOptions = {}): string {
    const outcome = this.try(command, options);
    if (outcome.status === 0) return outcome.stdout;
    throw new Error(`\`${command.join(' ')}\` failed: ${outcome.stderr.trim() || outcome.stdout.trim()}`);
  }

  try(command: readonly string[], options: CommandOptions = {}): { status: number; stdout: string; stderr: string } {
    const [program = '', ...args] = this.kind === 'lab' ? [lab, 'run', '--', ...command] : command;
    const outcome = spawnSync(program, args, {
      cwd: root,
      encoding: 'utf8',
      maxBuffer: 64 * 1_048_576,
      env: { ...process.env, PATH: `${join(root, 'dist/cli')}:${process.env['PATH'] ?? ''}` },
      ...(options.input === undefined ? {} : { input: options.input }),
      ...(options.inherit === true
        ? { stdio: [options.input === undefined ? 'ignore' : 'pipe', 'inherit', 'inherit'] as const }
        : {}),
    });
    if (outcome.error !== undefined) throw new Error(`${program} could not be started: ${outcome.error.message}`);
    return { status: outcome.status ?? 1, stdout: outcome.stdout ?? '', stderr: outcome.stderr ?? '' };
  }

  kubectl(...args: readonly string[]): string {
    return this.run(['kubectl', ...args]);
  }

  apply(manifest: string): string {
    return this.run(['kubectl', 'apply', '--server-side', '--force-conflicts', '-f', '-'], { input: manifest });
  }
}

/** `CLUSTER=current` is asked for; kind is taken where Docker answers; the lab cluster is for every other Linux machine. */
export function chooseCluster(asked: string | undefined): ClusterKind {
  if (asked === 'current' || asked === 'lab' || asked === 'kind') return asked;
  if (asked !== undefined && asked !== '')
    throw new Error(`CLUSTER=${asked}: give lab, kind or current, or nothing to have it chosen`);
  const works = (program: string, ...args: readonly string[]): boolean =>
    spawnSync(program, args, { stdio: 'ignore' }).status === 0;
  return works('docker', 'info') && works('kind', 'version') ? 'kind' : 'lab';
}

export function labCommand(...args: readonly string[]): void {
  const outcome = spawnSync(lab, args, { cwd: root, stdio: 'inherit' });
  if (outcome.status !== 0) throw new Error(`test/lab/lab ${args.join(' ')} failed; its messages are above`);
}
