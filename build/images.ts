/**
 * Builds or pushes the images of operator and sidecar for several processor architectures, with docker buildx or buildah, whichever
 * is installed. Usage: REGISTRY=registry.example/team [TAG=0.1.0] [ARCHS="amd64 arm64"] node build/images.ts build|push
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const programs = ['operator', 'sidecar'] as const;
const knownArchs = ['amd64', 'arm64'] as const;

interface Plan {
  readonly registry: string;
  readonly tag: string;
  readonly archs: readonly string[];
  readonly builder: 'buildah' | 'docker';
  readonly base: string | undefined;
}

function fail(message: string): never {
  console.error(`error: ${message}`);
  process.exit(2);
}

function run(program: string, args: readonly string[]): void {
  console.log(`+ ${program} ${args.join(' ')}`);
  const outcome = spawnSync(program, args, { cwd: root, stdio: 'inherit' });
  if (outcome.status !== 0) fail(`${program} ended with ${outcome.status ?? outcome.signal ?? outcome.error?.message}`);
}

function works(program: string, ...args: readonly string[]): boolean {
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0;
}

function chooseBuilder(): Plan['builder'] {
  if (works('docker', 'info')) return 'docker';
  if (works('buildah', 'version')) return 'buildah';
  return fail('neither a running Docker engine nor buildah is there; on Debian: apt-get install buildah');
}

function readPlan(): Plan {
  const { REGISTRY: registry, TAG: tag, ARCHS: archs, BASE: base } = process.env;
  if (registry === undefined || registry === '')
    fail('REGISTRY is not set; for example: make images REGISTRY=registry.example/team');
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const wanted = (archs ?? knownArchs.join(' ')).split(/\s+/u).filter((arch) => arch !== '');
  const unknown = wanted.filter((arch) => !knownArchs.some((known) => known === arch));
  if (unknown.length > 0) fail(`ARCHS has ${unknown.join(', ')}; known are ${knownArchs.join(', ')}`);
  return { registry, tag: tag ?? version, archs: wanted, builder: chooseBuilder(), base };
}

function imageName(plan: Plan, program: string, arch?: string): string {
  return `${plan.registry}/mcp-keyring-${program}:${plan.tag}${arch === undefined ? '' : `-${arch}`}`;
}

function build(plan: Plan): void {
  const base = plan.base === undefined ? [] : ['--build-arg', `BASE=${plan.base}`];
  for (const arch of plan.archs) {
    run(process.execPath, ['build/bundle.ts', '--arch', arch]);
    for (const program of programs) {
      const common = [
        ...base,
        '--build-arg',
        `TARGETARCH=${arch}`,
        '--platform',
        `linux/${arch}`,
        '-f',
        `${program}/Dockerfile`,
      ];
      const name = imageName(plan, program, arch);
      if (plan.builder === 'docker') run('docker', ['build', ...common, '-t', name, '.']);
      else run('buildah', ['build', ...common, '-t', name, '.']);
    }
  }
}

/** Pushes each architecture's image, then one manifest list under the plain tag. */
function push(plan: Plan): void {
  for (const program of programs) {
    const names = plan.archs.map((arch) => imageName(plan, program, arch));
    const list = imageName(plan, program);
    for (const name of names) run(plan.builder, ['push', name]);
    run(plan.builder, ['manifest', 'create', list, ...names]);
    run(
      plan.builder,
      plan.builder === 'docker' ? ['manifest', 'push', list] : ['manifest', 'push', '--all', list, `docker://${list}`],
    );
  }
}

const plan = readPlan();
switch (process.argv[2] ?? 'help') {
  case 'build':
    build(plan);
    break;
  case 'push':
    push(plan);
    break;
  default:
    fail('usage: node build/images.ts build|push');
}
