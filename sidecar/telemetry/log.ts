/** One JSON object a line. Messages are constants; fields never hold a credential, a key or a header value. */
export type Log = (level: 'info' | 'warn' | 'error', message: string, fields?: LogFields) => void;

export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

export function createLog(write: (line: string) => void, now: () => Date): Log {
  return (level, message, fields = {}) => {
    write(`${JSON.stringify({ time: now().toISOString(), level, msg: message, ...fields })}\n`);
  };
}

/** Name, code and message of an error and of what caused it; nothing else an error may carry. */
export function errorFields(error: unknown): LogFields {
  if (!(error instanceof Error)) return { error: typeof error };
  const cause = error.cause instanceof Error ? `${error.cause.name}: ${error.cause.message}` : undefined;
  return { error: `${error.name}: ${error.message}`, cause };
}

/** Says the same thing at most once in `everyMs`, and how often it was held back. */
export function rateLimited(log: Log, everyMs: number, nowMs: () => number): Log {
  const said = new Map<string, { atMs: number; held: number }>();
  return (level, message, fields) => {
    const last = said.get(message);
    if (last !== undefined && nowMs() - last.atMs < everyMs) {
      last.held += 1;
      return;
    }
    said.set(message, { atMs: nowMs(), held: 0 });
    log(level, message, { ...fields, ...(last === undefined || last.held === 0 ? {} : { repeated: last.held }) });
  };
}
