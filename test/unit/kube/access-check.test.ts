import { expect, test } from 'vitest';

import { describePermission, missingPermissions } from '#operator/kube/access-check.ts';
import { createKubeClient } from '#operator/kube/api-client.ts';
import { type ResourceAttributes, selfSubjectAccessReviews } from '#operator/kube/resources.ts';
import { createTransport } from '#operator/kube/transport.ts';
import { FaultApiServer } from '#test/support/fault-api-server.ts';

test('tells which permissions are missing, in words', async () => {
  await using server = await FaultApiServer.start([selfSubjectAccessReviews]);
  server.answerReviews(selfSubjectAccessReviews, (review) => {
    const { resourceAttributes } = review['spec'] as { resourceAttributes: ResourceAttributes };
    return { allowed: resourceAttributes.verb !== 'patch' };
  });
  const client = createKubeClient({ transport: createTransport({ source: server.source, userAgent: 'test' }) });
  const missing = await missingPermissions(client, [
    { verb: 'get', resource: 'secrets', namespace: 'keys' },
    { verb: 'patch', group: 'mcpkeyring.io', resource: 'mcpservers', subresource: 'status' },
    { verb: 'patch', resource: 'secrets', namespace: 'op', name: 'kek' },
  ]);
  expect(missing.map(describePermission)).toEqual([
    'patch mcpservers.mcpkeyring.io/status',
    'patch secrets kek in namespace op',
  ]);
  await client.close();
});
