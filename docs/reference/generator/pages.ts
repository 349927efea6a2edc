import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

import { parse } from 'yaml';

import { conditionPage } from './condition-page.ts';
import type { Definition } from './definition.ts';
import { resourcePage } from './resource-page.ts';
import { statePage } from './state-page.ts';

/** In the order in which somebody meets them. */
const files = [
  'organizations',
  'mcpservers',
  'userkeypolicies',
  'userkeys',
  'accesstokens',
  'userkeyrequests',
] as const;

export function definitionsOf(root: string): readonly Definition[] {
  return files.map((file): Definition => parse(readFileSync(resolve(root, 'crds', `${file}.yaml`), 'utf8')));
}

/** Every generated page by its absolute path. */
export function referencePages(root: string): ReadonlyMap<string, string> {
  const folder = resolve(root, 'docs/reference');
  return new Map([
    [resolve(folder, 'resources.md'), resourcePage(definitionsOf(root))],
    [resolve(folder, 'conditions.md'), conditionPage()],
    [resolve(folder, 'key-states.md'), statePage()],
  ]);
}
