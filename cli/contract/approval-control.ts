/** About who may have a key where a policy asks for approval: to ask for it, to see who waits, to grant it and to refuse it. */
export type ApprovalControl =
  | {
      readonly v: 1;
      readonly operation: 'approval-request';
      readonly server: string;
      readonly reason?: string;
      readonly token?: string;
    }
  | {
      readonly v: 1;
      readonly operation: 'approval-list';
      /** Absent: every server of the namespace. */
      readonly server?: string;
      readonly token?: string;
    }
  | ApprovalDecisionControl;

export type ApprovalDecisionControl =
  | {
      readonly v: 1;
      readonly operation: 'approval-grant';
      readonly server: string;
      /** Their id, `issuer/id`, or the end of their UserKey's name; not what they call themselves. */
      readonly user: string;
      /** When the grant ends: RFC 3339, UTC, with milliseconds. Not with `lifeSeconds`; neither: as late as policies allow. */
      readonly until?: string;
      /** The same, from now on. */
      readonly lifeSeconds?: number;
      readonly reason?: string;
      readonly token?: string;
    }
  | {
      readonly v: 1;
      readonly operation: 'approval-refuse';
      readonly server: string;
      readonly user: string;
      readonly reason: string;
      readonly token?: string;
    };

export type ApprovalOperation = ApprovalControl['operation'];

export const approvalFields: Readonly<Record<ApprovalOperation, readonly string[]>> = {
  'approval-request': ['server', 'reason'],
  'approval-list': ['server'],
  'approval-grant': ['server', 'user', 'until', 'lifeSeconds', 'reason'],
  'approval-refuse': ['server', 'user', 'reason'],
};

export const approvalLimits = { userCharsMax: 1_025, reasonCharsMax: 256 } as const;

const serverForm = /^[a-z0-9][a-z0-9-]{0,62}$/u;
/** Shown to people, so nothing that moves a cursor. */
const printable = /^[^\p{C}\p{Zl}\p{Zp}]+$/u;
const instantForm = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/u;
/** 999999d, the longest that can be written. */
const secondsMax = 999_999 * 86_400;

type Entries = ReadonlyMap<string, unknown>;

export function isApprovalOperation(operation: string): operation is ApprovalOperation {
  return Object.hasOwn(approvalFields, operation);
}

/** Throws without any detail. */
export function approvalControlOf(operation: ApprovalOperation, entries: Entries): ApprovalControl {
  switch (operation) {
    case 'approval-request':
      return { v: 1, operation, server: serverOf(entries), ...optionalReason(entries) };
    case 'approval-list':
      return { v: 1, operation, ...(entries.has('server') ? { server: serverOf(entries) } : {}) };
    case 'approval-grant':
      return {
        v: 1,
        operation,
        server: serverOf(entries),
        user: userOf(entries),
        ...endOf(entries),
        ...optionalReason(entries),
      };
    case 'approval-refuse':
      return { v: 1, operation, server: serverOf(entries), user: userOf(entries), reason: reasonOf(entries) };
  }
}

function endOf(entries: Entries): { readonly until?: string; readonly lifeSeconds?: number } {
  const [until, lifeSeconds] = [entries.get('until'), entries.get('lifeSeconds')];
  if (until !== undefined && lifeSeconds !== undefined) throw new TypeError('one end');
  if (until !== undefined) return { until: instantOf(until) };
  return lifeSeconds === undefined ? {} : { lifeSeconds: secondsOf(lifeSeconds) };
}

function instantOf(value: unknown): string {
  if (typeof value !== 'string' || !instantForm.test(value)) throw new TypeError('an instant');
  const ms = Date.parse(value);
  if (Number.isNaN(ms) || new Date(ms).toISOString() !== value) throw new TypeError('an instant');
  return value;
}

function secondsOf(value: unknown): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= secondsMax) return value;
  throw new TypeError('seconds');
}

function serverOf(entries: Entries): string {
  const value = entries.get('server');
  if (typeof value !== 'string' || !serverForm.test(value)) throw new TypeError('a server name');
  return value;
}

function userOf(entries: Entries): string {
  return textOf(entries.get('user'), approvalLimits.userCharsMax);
}

function reasonOf(entries: Entries): string {
  return textOf(entries.get('reason'), approvalLimits.reasonCharsMax);
}

function optionalReason(entries: Entries): { readonly reason?: string } {
  return entries.has('reason') ? { reason: reasonOf(entries) } : {};
}

function textOf(value: unknown, charsMax: number): string {
  if (typeof value !== 'string' || value.length > charsMax || !printable.test(value)) throw new TypeError('a text');
  return value;
}
