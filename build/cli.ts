import { chmod } from 'node:fs/promises';
import { rolldown } from 'rolldown';

/** One executable file for kubectl's plugin mechanism: `kubectl mcpkeys` runs `kubectl-mcpkeys` from PATH. */
export async function bundleCli(): Promise<void> {
  const bundle = await rolldown({ input: 'cli/main.ts', platform: 'node', logLevel: 'warn' });
  await bundle.write({ file: 'dist/cli/kubectl-mcpkeys', format: 'esm', minify: false, banner: '#!/usr/bin/env node' });
  await chmod('dist/cli/kubectl-mcpkeys', 0o755);
}
