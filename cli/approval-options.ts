import { approvalLimits } from './contract/approval-control.ts';
import type { KeyEnd } from './contract/expiry-text.ts';
import { CliError } from './errors.ts';
import { keyEndOf } from './key-end-option.ts';

export type ApprovalCommand =
  | { readonly name: 'request'; readonly server: string; readonly reason: string | undefined }
  | { readonly name: 'approvals'; readonly server: string | undefined }
  | {
      readonly name: 'approve';
      readonly server: string;
      readonly user: string;
      /** When the grant ends; absent: as late as policies allow. */
      readonly end: KeyEnd | undefined;
      readonly reason: string | undefined;
    }
  | { readonly name: 'refuse'; readonly server: string; readonly user: string; readonly reason: string };

export type ApprovalCommandName = ApprovalCommand['name'];

/** The flags that these commands read. */
export interface ApprovalFlags {
  readonly user?: string | undefined;
  readonly until?: string | undefined;
  readonly reason?: string | undefined;
}

const names = { request: true, approvals: true, approve: true, refuse: true } as const satisfies Readonly<
  Record<ApprovalCommandName, true>
>;

export function isApprovalCommand(name: string): name is ApprovalCommandName {
  return Object.hasOwn(names, name);
}

/** @throws CliError `Usage` */
export function approvalCommandOf(
  name: ApprovalCommandName,
  flags: ApprovalFlags,
  [server, ...rest]: readonly string[],
): ApprovalCommand {
  if (rest.length > 0) throw new CliError('Usage', `${name} takes one argument: kubectl mcpkeys ${name} <server>`);
  if (name === 'approvals') return { name, server };
  if (server === undefined) throw new CliError('Usage', `give a server: kubectl mcpkeys ${name} <server>`);
  const reason = reasonOf(flags.reason);
  if (name === 'request') return { name, server, reason };
  const user = userOf(name, flags.user);
  if (name === 'approve') return { name, server, user, end: keyEndOf('--until', flags.until), reason };
  if (reason === undefined) throw new CliError('Usage', 'refuse: give --reason <text>, which the user is told');
  return { name, server, user, reason };
}

function reasonOf(reason: string | undefined): string | undefined {
  if (reason === undefined || (reason !== '' && reason.length <= approvalLimits.reasonCharsMax)) return reason;
  throw new CliError('Usage', `--reason: give 1 to ${approvalLimits.reasonCharsMax} characters, and nothing of a key`);
}

function userOf(command: string, user: string | undefined): string {
  if (user !== undefined && user !== '' && user.length <= approvalLimits.userCharsMax) return user;
  throw new CliError('Usage', `${command}: give --user <id or key>, as kubectl mcpkeys approvals names them`);
}
