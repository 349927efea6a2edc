import { isUsablePattern } from '#cli/contract/key-pattern.ts';
import type { KeyringCondition } from '#crds/v1alpha1/conditions.ts';
import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';

import { someOf } from '../conditions.ts';

/** Only there while a rule for values cannot be used, so that no value of its header can be set. The API server has let it through: it is an expression. */
export function formatsUsable({ spec }: McpServer): readonly KeyringCondition[] {
  const unusable = spec.authentication.headers.filter(({ format }) => {
    return format?.pattern !== undefined && !isUsablePattern(format.pattern);
  });
  if (unusable.length === 0) return [];
  const names = someOf(unusable.map(({ name }) => name));
  const message = `format.pattern of ${names} is too large to be used, so no value can be set; write a shorter one, or fewer counted repeats`;
  return [{ type: 'FormatsUsable', status: 'False', reason: 'PatternTooLarge', message }];
}
