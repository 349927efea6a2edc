import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { aimed, aimedEnvironment, kindTarget, kubectlFlags, type ClusterKind, type Target } from './target.ts';

export const root: string = resolve(import.meta.dirname, '../..');
const lab = join(root, 'test/lab/lab');

/** Of the demo's own kind cluster; written anew by every `make demo`. */
export const kindKubeconfig: string = join(root, 'dist/kind.kubeconfig');

export interface CommandOptions {
  readonly input?: string;
  /** Show the output while it runs. */
  readonly inherit?: boolean;
}

/** Runs commands that need the cluster; in the lab that is inside its network namespace. */
export class Cluster {
  readonly kind: ClusterKind;
  private readonly target: Target;

  constructor(target: Target) {
    this.kind = target.kind;
    this.target = target;
  }

  /** For kubectl plugins, which take these after their own arguments. */
  get kubectlFlags(): readonly string[] {
    return kubectlFlags(this.target);
  }

  /** Resolves standard output; a failing command throws with its own last words. */
  run(command: readonly string[], options: CommandOptions = {}): string {
    const outcome = this.try(command, options);
    if (outcome.status === 0) return outcome.stdout;
    throw new Error(`\`${command.join(' ')}\` failed: ${outcome.stderr.trim() || outcome.stdout.trim()}`);
  }

  try(command: readonly string[], options: CommandOptions = {}): { status: number; stdout: string; stderr: string } {
    const [program = '', ...args] = this.kind === 'lab' ? [lab, 'run', '--', ...command] : aimed(this.target, command);
    const outcome = spawnSync(program, args, {
      cwd: root,
      encoding: 'utf8',
      maxBuffer: 64 * 1_048_576,
      env: {
        ...aimedEnvironment(this.target, process.env),
        PATH: `${join(root, 'dist/cli')}:${process.env['PATH'] ?? ''}`,
      },
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

/** `context` is the one of the whole run: whoever switches the current context meanwhile does not move the demo. */
export function targetOf(kind: ClusterKind): Target {
  if (kind === 'lab') return { kind };
  if (kind === 'kind') return kindTarget(kindKubeconfig);
  const outcome = spawnSync('kubectl', ['config', 'current-context'], { encoding: 'utf8' });
  const context = outcome.stdout?.trim() ?? '';
  if (outcome.status === 0 && context !== '') return { kind, context };
  throw new Error(
    'CLUSTER=current: the kubeconfig has no current context; choose one: kubectl config use-context NAME',
  );
}

/** Throws with the names of those that are not in PATH. */
export function requirePrograms(programs: readonly string[], kind: ClusterKind): void {
  const missing = programs.filter((program) => !isInPath(program));
  if (missing.length === 0) return;
  throw new Error(
    `CLUSTER=${kind} needs ${missing.join(', ')}, which this machine does not have in PATH. Install what is missing, or use CLUSTER=lab`,
  );
}

function isInPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

export function kindClusters(): readonly string[] {
  const outcome = spawnSync('kind', ['get', 'clusters'], { encoding: 'utf8' });
  if (outcome.status !== 0) throw new Error(`\`kind get clusters\` failed: ${outcome.stderr?.trim() ?? ''}`);
  return outcome.stdout.split('\n').filter((name) => name !== '');
}

export function isLabBuilt(): boolean {
  return spawnSync(lab, ['tools', '--check'], { cwd: root, stdio: 'ignore' }).status === 0;
}

export function labCommand(...args: readonly string[]): void {
  const outcome = spawnSync(lab, args, { cwd: root, stdio: 'inherit' });
  if (outcome.status !== 0) throw new Error(`test/lab/lab ${args.join(' ')} failed; its messages are above`);
}
