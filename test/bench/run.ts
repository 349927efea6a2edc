/**
 * `make bench`: every measurement, one after the other, on the machine at hand. What it prints is what docs/performance.md quotes.
 * Usage: node test/bench/run.ts [sidecar|guard|body|lease|admission|operator-scale]...
 */
import { spawnSync } from 'node:child_process';
import { cpus, loadavg } from 'node:os';
import { basename, join } from 'node:path';

const benches: Readonly<Record<string, readonly string[]>> = {
  sidecar: ['4', '3'],
  guard: [],
  body: [],
  lease: ['--rate', '1000', '--seconds', '10'],
  admission: ['100', '20'],
  'operator-scale': ['10000'],
};

/** What measures code of the sidecar alone runs as the sidecar does. */
const bun = join(import.meta.dirname, '../../node_modules/@oven/bun-linux-x64/bin/bun');

const ofTheSidecar: ReadonlySet<string> = new Set(['guard', 'body']);

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !Object.hasOwn(benches, name));
if (unknown.length > 0) {
  console.error(`error: unknown bench ${unknown.join(', ')}; there are: ${Object.keys(benches).join(', ')}`);
  process.exit(2);
}

const [load = 0] = loadavg();
console.log(
  `${cpus().length} x ${cpus()[0]?.model ?? 'unknown processor'}, load ${load.toFixed(1)}, node ${process.version}`,
);
if (load > 0.5) console.log('The machine is busy with something else: figures will be worse than they could be.');

const failed = Object.entries(benches)
  .filter(([name]) => asked.length === 0 || asked.includes(name))
  .filter(([name, args]) => {
    const runtime = ofTheSidecar.has(name) ? bun : process.execPath;
    console.log(`\n## ${name}: ${basename(runtime)} test/bench/${name}.ts ${args.join(' ')}\n`);
    const outcome = spawnSync(runtime, [join(import.meta.dirname, `${name}.ts`), ...args], {
      stdio: 'inherit',
    });
    return outcome.status !== 0;
  });
if (failed.length > 0) console.error(`\nmissed a target or failed: ${failed.map(([name]) => name).join(', ')}`);
process.exit(failed.length === 0 ? 0 : 1);
