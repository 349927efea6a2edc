/** Every way in which an event may not become durable. Whoever meets one hands nothing out. */
export type AuditErrorCode =
  | 'ERR_AUDIT_EVENT_INVALID'
  | 'ERR_AUDIT_QUEUE_FULL'
  | 'ERR_AUDIT_DISK_FULL'
  | 'ERR_AUDIT_READ_ONLY'
  | 'ERR_AUDIT_CANNOT_OPEN'
  | 'ERR_AUDIT_IO'
  | 'ERR_AUDIT_CORRUPT'
  | 'ERR_AUDIT_TIMEOUT'
  | 'ERR_AUDIT_CLOSED'
  | 'ERR_AUDIT_FAILED';

const messages: Record<AuditErrorCode, string> = {
  ERR_AUDIT_EVENT_INVALID: 'The event has a field that is missing or not of its kind',
  ERR_AUDIT_QUEUE_FULL: 'More events are waiting for the disk than may wait',
  ERR_AUDIT_DISK_FULL: 'The disk of the audit log is full, or the log has reached its largest size',
  ERR_AUDIT_READ_ONLY: 'The audit log can only be read',
  ERR_AUDIT_CANNOT_OPEN: 'The file of the audit log cannot be opened',
  ERR_AUDIT_IO: 'The disk of the audit log failed',
  ERR_AUDIT_CORRUPT: 'The file of the audit log is damaged',
  ERR_AUDIT_TIMEOUT: 'The disk of the audit log did not answer in time',
  ERR_AUDIT_CLOSED: 'The audit log is closed',
  ERR_AUDIT_FAILED: 'The audit log failed',
};

/** The only rejection of the audit log. */
export class AuditError extends Error {
  readonly code: AuditErrorCode;

  constructor(code: AuditErrorCode, options?: ErrorOptions) {
    super(messages[code], options);
    this.name = 'AuditError';
    this.code = code;
  }
}

/** https://www.sqlite.org/rescode.html, primary result codes. */
const codeBySqlite: Readonly<Record<number, AuditErrorCode>> = {
  8: 'ERR_AUDIT_READ_ONLY',
  10: 'ERR_AUDIT_IO',
  11: 'ERR_AUDIT_CORRUPT',
  13: 'ERR_AUDIT_DISK_FULL',
  14: 'ERR_AUDIT_CANNOT_OPEN',
  26: 'ERR_AUDIT_CORRUPT',
};

/** Code of what SQLite (or anything else) threw. The low byte of an extended result code is the primary one. */
export function auditCodeOf(error: unknown): AuditErrorCode {
  if (error instanceof AuditError) return error.code;
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number')
    return 'ERR_AUDIT_FAILED';
  return codeBySqlite[error.errcode & 0xff] ?? 'ERR_AUDIT_FAILED';
}
