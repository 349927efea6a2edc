import { expect, test, vi } from 'vitest';
import { answerHealth, answerMetrics } from '#sidecar/health.ts';

test('is alive whatever happens, and ready when nothing is in the way', () => {
  const beginDrain = vi.fn<() => void>();
  const sources = { notReady: () => ['no policy from the broker yet'], beginDrain };
  expect(answerHealth(sources, '/livez').status).toBe(200);
  expect(answerHealth(sources, '/readyz')).toMatchObject({ status: 503, body: 'no policy from the broker yet\n' });
  expect(answerHealth({ ...sources, notReady: () => [] }, '/readyz').status).toBe(200);
  expect(answerHealth(sources, '/').status).toBe(404);
  expect(beginDrain).not.toHaveBeenCalled();
  expect(answerHealth(sources, '/drain').status).toBe(200);
  expect(beginDrain).toHaveBeenCalledOnce();
});

test('shows metrics at their path only', () => {
  expect(answerMetrics(() => 'x 1\n', '/metrics')).toMatchObject({ status: 200, body: 'x 1\n' });
  expect(answerMetrics(() => 'x 1\n', '/').status).toBe(404);
});
