/** Entry of the writer thread: the only place that waits for the disk of the audit log. Started by `event-writer.ts`. */
import { parentPort, workerData } from 'node:worker_threads';

import { auditCodeOf } from './audit-error.ts';
import { SqliteStore } from './sqlite-store.ts';
import type { WriterOptions, WriterReply, WriterRequest } from './writer-messages.ts';

function reply(message: WriterReply): void {
  // eslint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  parentPort?.postMessage(message);
}

function failureOf(error: unknown): Pick<Extract<WriterReply, { kind: 'notOpened' }>, 'code' | 'message'> {
  return { code: auditCodeOf(error), message: error instanceof Error ? error.message : 'unknown' };
}

function commit(store: SqliteStore, request: Extract<WriterRequest, { kind: 'commit' }>): void {
  try {
    const settled = store.commit(request.rows);
    reply({ kind: 'committed', batch: request.batch, settled, sizeBytes: store.sizeBytes });
  } catch (error) {
    reply({ kind: 'failed', batch: request.batch, ...failureOf(error) });
  }
}

function serve(options: WriterOptions): void {
  const store = new SqliteStore(options.path, options.databaseBytesMax);
  parentPort?.on('message', (request: WriterRequest) => {
    if (request.kind === 'commit') return commit(store, request);
    store.close();
    reply({ kind: 'closed' });
    parentPort?.close();
    return undefined;
  });
  reply({ kind: 'opened', sizeBytes: store.sizeBytes });
}

try {
  serve(workerData);
} catch (error) {
  reply({ kind: 'notOpened', ...failureOf(error) });
}
