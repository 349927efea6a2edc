import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';

import { expect, test } from 'vitest';

const program = resolve(import.meta.dirname, '../../demo/demo.ts');

/** With a PATH that has no program at all: what is refused here is refused before anything was started. */
function demo(action: string, cluster: string): { readonly status: number | null; readonly stderr: string } {
  return spawnSync(process.execPath, [program, action], {
    encoding: 'utf8',
    env: { PATH: '/nonexistent', CLUSTER: cluster },
  });
}

test.each([
  ['up', 'elsewhere', 'CLUSTER=elsewhere: give lab, kind or current'],
  ['up', 'current', 'needs docker, kubectl, helm,'],
  ['up', 'kind', 'needs docker, kubectl, helm, kind,'],
  ['down', 'current', 'needs kubectl, helm,'],
  ['sideways', 'lab', 'usage:'],
])('%s with CLUSTER=%s says why not, and nothing of a cluster that is left', (action, cluster, message) => {
  const { status, stderr } = demo(action, cluster);
  expect(status).toBe(1);
  expect(stderr).toContain(message);
  expect(stderr).not.toContain('left as it is');
});
