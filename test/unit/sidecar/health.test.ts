import { expect, test } from 'vitest';
import { answerHealth, answerMetrics } from '#sidecar/health.ts';

test('is alive whatever happens, and ready when nothing is in the way', () => {
  const sources = { notReady: () => ['no policy from the broker yet'] };
  expect(answerHealth(sources, '/livez').status).toBe(200);
  expect(answerHealth(sources, '/readyz')).toMatchObject({ status: 503, body: 'no policy from the broker yet\n' });
  expect(answerHealth({ notReady: () => [] }, '/readyz').status).toBe(200);
  expect(answerHealth(sources, '/').status).toBe(404);
});

test('shows metrics at their path only', () => {
  expect(answerMetrics(() => 'x 1\n', '/metrics')).toMatchObject({ status: 200, body: 'x 1\n' });
  expect(answerMetrics(() => 'x 1\n', '/').status).toBe(404);
});
