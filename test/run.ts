/**
 * Runs every kind of test in order and prints `N passed, N failed` as the last line. Each stage is one vitest project; the
 * end-to-end stage runs inside the network namespace of the lab cluster, which is brought up first and taken down afterwards.
 * Usage: node test/run.ts [stage...]
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const lab = join(root, 'test/lab/lab');
const results = join(root, 'dist/test-results');

interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** What failed, a line each: printed again at the very end, where the reader of a long log looks. */
  readonly failures: readonly string[];
}

interface Suite {
  readonly name: string;
  readonly status: string;
  readonly assertionResults: readonly {
    readonly status: string;
    readonly fullName: string;
    readonly failureMessages: readonly string[];
  }[];
}

interface Stage {
  readonly name: string;
  readonly projects: readonly string[];
  readonly inLab: boolean;
  readonly before: readonly (readonly string[])[];
  readonly after: readonly (readonly string[])[];
}

const stages: readonly Stage[] = [
  { name: 'unit', projects: ['structure', 'unit'], inLab: false, before: [], after: [] },
  {
    name: 'integration',
    projects: ['integration'],
    inLab: false,
    before: [
      [lab, 'tools'],
      ['node', 'build/bundle.ts'],
    ],
    after: [],
  },
  {
    name: 'e2e',
    projects: ['e2e'],
    inLab: true,
    before: [
      [lab, 'up'],
      ['node', 'build/bundle.ts'],
    ],
    after: [[lab, 'down']],
  },
];

function run(command: readonly string[]): boolean {
  const [program = '', ...args] = command;
  const outcome = spawnSync(program, args, { cwd: root, stdio: 'inherit' });
  if (outcome.status !== 0)
    console.error(`error: \`${command.join(' ')}\` ended with ${outcome.status ?? outcome.signal}`);
  return outcome.status === 0;
}

function failuresOf(suite: Suite): string[] {
  const file = relative(root, suite.name);
  if (suite.status === 'failed' && suite.assertionResults.length === 0) return [`${file}: could not be loaded`];
  return suite.assertionResults
    .filter(({ status }) => status === 'failed')
    .map(({ fullName, failureMessages }) => `${file}: ${fullName}: ${failureMessages[0]?.split('\n')[0] ?? ''}`);
}

function notRun(name: string): Counts {
  return { passed: 0, failed: 1, skipped: 0, failures: [`${name}: did not run; see its output above`] };
}

function countsOf(stage: Stage, file: string): Counts {
  if (!existsSync(file)) return notRun(stage.name);
  const report = JSON.parse(readFileSync(file, 'utf8'));
  const failures = (report.testResults as Suite[]).flatMap(failuresOf);
  return {
    passed: report.numPassedTests,
    failed: failures.length,
    skipped: report.numPendingTests + report.numTodoTests,
    failures,
  };
}

function runStage(stage: Stage): Counts {
  const startedAt = Date.now();
  console.log(`\n==> ${stage.name} tests`);
  const file = join(results, `${stage.name}.json`);
  const vitest = [
    'node_modules/.bin/vitest',
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${file}`,
  ];
  const command = [...vitest, ...stage.projects.flatMap((project) => ['--project', project])];
  const ready = stage.before.every(run);
  const succeeded = ready && run(stage.inLab ? [lab, 'run', '--', ...command] : command);
  stage.after.forEach(run);
  const counts = ready ? countsOf(stage, file) : notRun(stage.name);
  console.log(
    `==> ${stage.name}: ${counts.passed} passed, ${counts.failed} failed in ${Math.round((Date.now() - startedAt) / 1000)} s`,
  );
  if (succeeded || counts.failed > 0) return counts;
  return { ...counts, failed: 1, failures: [`${stage.name}: vitest failed outside its tests; see its output above`] };
}

process.env['PATH'] = `${join(root, 'node_modules/.bin')}:${process.env['PATH'] ?? ''}`;
rmSync(results, { recursive: true, force: true });
mkdirSync(results, { recursive: true });
const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !stages.some((stage) => stage.name === name));
if (unknown.length > 0) {
  console.error(
    `error: unknown stage ${unknown.join(', ')}; there are: ${stages.map((stage) => stage.name).join(', ')}`,
  );
  process.exit(2);
}
const counts = stages.filter((stage) => asked.length === 0 || asked.includes(stage.name)).map(runStage);
const sum = (pick: (c: Counts) => number): number => counts.reduce((total, c) => total + pick(c), 0);
const [passed, failed, skipped] = [sum((c) => c.passed), sum((c) => c.failed), sum((c) => c.skipped)];
for (const failure of counts.flatMap((c) => c.failures)) console.log(`failed: ${failure}`);
console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
