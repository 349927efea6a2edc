/** Bounds of the audit log. */
export const auditLimits = {
  /** Events that may wait for the disk, those being written included. */
  queueEventsMax: 10_000,
  /** Events of one transaction: one fsync for all of them. */
  batchEventsMax: 1_000,
  /** Longest wait for a transaction, and for opening the file. */
  commitTimeoutMs: 5_000,
  /** Least time between two starts of the writer thread. */
  writerRestartMs: 1_000,
  /** Size at which the log counts as full, unless told otherwise: 8 GiB. */
  databaseBytesMax: 8_589_934_592,
  recentMax: 1_000,
  /** Counts that are completed when the log is opened. */
  openCountsMax: 1_000,
  textCharsMax: 512,
  messageCharsMax: 1_024,
  headerNamesMax: 32,
  groupsMax: 256,
} as const;
