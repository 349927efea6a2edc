import { pino } from 'pino';

import { TerminalError } from '#operator/kube/controller-runner.ts';
import { KubeError } from '#operator/kube/errors.ts';
import type { Log, LogFields, LogValue } from '#operator/kube/observers.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface LogOptions {
  readonly level: LogLevel;
  /** Default: standard output, written synchronously, so that the last line before an exit is not lost. */
  readonly destination?: { write(line: string): void };
  /** Error classes whose messages never quote input. Of all others only name, code and stack frames are logged. */
  readonly trustedErrors?: readonly (new (...parameters: never[]) => Error)[];
}

/** Longest text of one field. */
export const fieldCharsMax = 2000;
/** Stack frames of an error, and how far its causes are followed. */
export const framesMax = 10;
export const causesMax = 3;

/**
 * One JSON object a line. Redaction is by construction: a field is a plain value or a reduced error, whatever the caller hands over,
 * so that nothing that holds key bytes can be printed.
 */
export function createLog(options: LogOptions): Log {
  const settings = {
    level: options.level,
    base: null,
    messageKey: 'message',
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  const sink = options.destination === undefined ? pino(settings) : pino(settings, options.destination);
  const trusted = [KubeError, TerminalError, ...(options.trustedErrors ?? [])];
  const write =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}): void => {
      if (sink.isLevelEnabled(level)) sink[level](plainFields(fields, trusted), message);
    };
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}

type Trusted = NonNullable<LogOptions['trustedErrors']>;

/** Names that pino writes itself. */
const reservedFields: ReadonlySet<string> = new Set(['level', 'time', 'message']);

function plainFields(fields: LogFields, trusted: Trusted): Record<string, unknown> {
  const plain: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    plain[reservedFields.has(name) ? `${name}_` : name] = plainValue(value, trusted);
  }
  return plain;
}

/** What the type forbids can still arrive at run time; it is named, not shown. */
function plainValue(value: LogValue, trusted: Trusted): unknown {
  if (typeof value === 'string') return value.slice(0, fieldCharsMax);
  if (typeof value === 'number' || typeof value === 'boolean' || value === undefined) return value;
  if (value instanceof Error) return plainError(value, trusted, causesMax);
  if (Array.isArray(value))
    return value.map((part) => (typeof part === 'string' ? part.slice(0, fieldCharsMax) : '[not logged]'));
  return '[not logged]';
}

interface PlainError {
  readonly name: string;
  readonly code?: string;
  readonly message?: string;
  readonly frames?: readonly string[];
  readonly cause?: PlainError;
}

/**
 * The messages of the language and its libraries quote what they choke on (JSON.parse quotes the text), so that they are left out; so
 * is the first part of a stack, which repeats the message.
 */
function plainError(error: Error, trusted: Trusted, causesLeft: number): PlainError {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  const isTrusted = trusted.some((type) => error instanceof type);
  const frames = isTrusted ? undefined : framesOf(error);
  const cause =
    error.cause instanceof Error && causesLeft > 0 ? plainError(error.cause, trusted, causesLeft - 1) : undefined;
  return {
    name: error.name,
    ...(code === undefined ? {} : { code }),
    ...(isTrusted ? { message: error.message.slice(0, fieldCharsMax) } : {}),
    ...(frames === undefined ? {} : { frames }),
    ...(cause === undefined ? {} : { cause }),
  };
}

function framesOf(error: Error): readonly string[] {
  const text = error.stack ?? '';
  // The message may hold line breaks and imitate frames: they begin after it.
  const head = text.indexOf(error.message);
  const after = head === -1 ? '' : text.slice(head + error.message.length);
  return after
    .split('\n')
    .filter((line) => line.startsWith('    at '))
    .slice(0, framesMax)
    .map((line) => line.trim());
}
