/**
 * Bundles every program for the images and for the kubectl plugin into dist/. Usage: node build/bundle.ts [--arch amd64|arm64]
 */
import { parseArgs } from 'node:util';
import { bundleCli } from './cli.ts';
import { bundleDemo } from './demo.ts';
import { bundleOperator } from './operator.ts';
import { buildSidecar } from './sidecar.ts';

const { values } = parseArgs({ options: { arch: { type: 'string', default: 'amd64' } } });
if (values.arch !== 'amd64' && values.arch !== 'arm64') {
  console.error(`error: --arch is ${values.arch}; it must be amd64 or arm64`);
  process.exit(2);
}
await Promise.all([bundleOperator(values.arch), buildSidecar(values.arch), bundleCli(), bundleDemo()]);
