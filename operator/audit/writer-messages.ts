import type { AuditErrorCode } from './audit-error.ts';
import type { EventRow } from './event-rows.ts';

/** What the writer thread is started with. */
export interface WriterOptions {
  readonly path: string;
  readonly databaseBytesMax: number;
}

export type WriterRequest =
  | { readonly kind: 'commit'; readonly batch: number; readonly rows: readonly EventRow[] }
  | { readonly kind: 'close' };

export type WriterReply =
  | { readonly kind: 'opened'; readonly sizeBytes: number }
  | { readonly kind: 'notOpened'; readonly code: AuditErrorCode; readonly message: string }
  | {
      readonly kind: 'committed';
      readonly batch: number;
      /** For each row, whether it is final now and was not before. */
      readonly settled: readonly boolean[];
      readonly sizeBytes: number;
    }
  | { readonly kind: 'failed'; readonly batch: number; readonly code: AuditErrorCode; readonly message: string }
  | { readonly kind: 'closed' };
