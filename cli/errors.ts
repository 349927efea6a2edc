/** What a command can end with, apart from success. The exit status tells scripts which. */
export type CliErrorCode = 'Usage' | 'Kubectl' | 'Refused' | 'Timeout' | 'NotInstalled';

export const exitStatuses: Readonly<Record<CliErrorCode, number>> = {
  Usage: 2,
  Kubectl: 3,
  Refused: 4,
  Timeout: 5,
  NotInstalled: 6,
};

/** `hints` are printed below the message, one a line: what to do next. */
export class CliError extends Error {
  readonly code: CliErrorCode;
  readonly hints: readonly string[];

  constructor(code: CliErrorCode, message: string, hints: readonly string[] = []) {
    super(message);
    this.name = 'CliError';
    this.code = code;
    this.hints = hints;
  }
}
