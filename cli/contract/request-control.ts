import {
  type ApprovalControl,
  type ApprovalOperation,
  approvalControlOf,
  approvalFields,
  isApprovalOperation,
} from './approval-control.ts';
import { type RevokeControl, revokeControlOf, revokeFields } from './revoke-control.ts';

/** The readable part of a request: what is asked for, never a key value. */
export type UserKeyControl =
  | {
      readonly v: 1;
      readonly operation: 'delete' | 'status' | 'test';
      readonly server: string;
      readonly token?: string;
    }
  | {
      readonly v: 1;
      readonly operation: 'set';
      readonly server: string;
      /** When the given values end at their upstream, as their user says: RFC 3339, UTC, with milliseconds. Not with `lifeSeconds`. */
      readonly expiresAt?: string;
      /** The same, from now on. */
      readonly lifeSeconds?: number;
      readonly token?: string;
    }
  | { readonly v: 1; readonly operation: 'list'; readonly token?: string }
  | TokenControl
  | RevokeControl
  | ApprovalControl;

/** To store a key. */
export type SetControl = Extract<UserKeyControl, { readonly operation: 'set' }>;

/** About access tokens of the user. The token itself is never sent, only its hash. */
export type TokenControl =
  | {
      readonly v: 1;
      readonly operation: 'token-create';
      readonly hash: string;
      readonly servers: readonly string[];
      /** Absent: as long as the organization lets one live. */
      readonly lifeSeconds?: number;
      readonly title?: string;
      readonly token?: string;
    }
  | { readonly v: 1; readonly operation: 'token-list'; readonly token?: string }
  | { readonly v: 1; readonly operation: 'token-revoke'; readonly id: string; readonly token?: string };

export type UserKeyOperation = UserKeyControl['operation'];

export const controlLimits = { serverCharsMax: 63, tokenBytesMax: 16_384, serversMax: 32, titleCharsMax: 64 } as const;

const common = ['v', 'operation', 'token'];

/** The fields that an operation has besides those that all have. */
const fieldsOf: Readonly<Record<UserKeyOperation, readonly string[]>> = {
  list: [],
  set: ['server', 'expiresAt', 'lifeSeconds'],
  delete: ['server'],
  status: ['server'],
  test: ['server'],
  'token-create': ['hash', 'servers', 'lifeSeconds', 'title'],
  'token-list': [],
  'token-revoke': ['id'],
  revoke: revokeFields,
  ...approvalFields,
};

/** Strict: an unknown field may be something that an older operator would leave undone. Throws without any detail. */
export function parseControl(bytes: Buffer): UserKeyControl {
  const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  if (typeof value !== 'object' || value === null) throw new TypeError('a control object');
  const entries = new Map<string, unknown>(Object.entries(value));
  const operation = entries.get('operation');
  if (entries.get('v') !== 1 || !isOperation(operation)) throw new TypeError('version 1');
  const known = [...common, ...fieldsOf[operation]];
  if (![...entries.keys()].every((name) => known.includes(name))) throw new TypeError('known fields');
  const token = tokenOf(entries.get('token'));
  if (isTokenOperation(operation)) return { ...tokenControlOf(operation, entries), ...token };
  if (isApprovalOperation(operation)) return { ...approvalControlOf(operation, entries), ...token };
  return { ...keyControlOf(operation, entries), ...token };
}

type KeyOperation = Exclude<UserKeyOperation, TokenControl['operation'] | ApprovalOperation>;

function keyControlOf(operation: KeyOperation, entries: ReadonlyMap<string, unknown>): UserKeyControl {
  switch (operation) {
    case 'list':
      return { v: 1, operation };
    case 'revoke':
      return revokeControlOf(entries);
    case 'set':
      return { v: 1, operation, server: serverOf(entries.get('server')), ...endOf(entries) };
    case 'delete':
    case 'status':
    case 'test':
      return { v: 1, operation, server: serverOf(entries.get('server')) };
  }
}

function isTokenOperation(operation: UserKeyOperation): operation is TokenControl['operation'] {
  return operation.startsWith('token-');
}

function tokenControlOf(operation: TokenControl['operation'], entries: ReadonlyMap<string, unknown>): TokenControl {
  switch (operation) {
    case 'token-list':
      return { v: 1, operation };
    case 'token-create':
      return { v: 1, operation, ...creationOf(entries) };
    case 'token-revoke':
      return { v: 1, operation, id: textOf(entries.get('id'), objectName) };
  }
}

function isOperation(value: unknown): value is UserKeyOperation {
  return typeof value === 'string' && Object.hasOwn(fieldsOf, value);
}

const objectName = /^[a-z0-9][a-z0-9.-]{0,252}$/u;
const hashForm = /^[A-Za-z0-9_-]{43}$/u;
const serverForm = /^[a-z0-9][a-z0-9-]{0,62}$/u;
/** Shown to people, so nothing that moves a cursor. */
const titleForm = /^[^\p{C}\p{Zl}\p{Zp}]{1,64}$/u;
const lifeSecondsMax = 100_000_000;
/** 999999d, the longest that can be written. */
const keySecondsMax = 999_999 * 86_400;
const instantForm = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/u;

function endOf(entries: ReadonlyMap<string, unknown>) {
  const [expiresAt, lifeSeconds] = [entries.get('expiresAt'), entries.get('lifeSeconds')];
  if (expiresAt !== undefined && lifeSeconds !== undefined) throw new TypeError('one end');
  return {
    ...(expiresAt === undefined ? {} : { expiresAt: instantOf(expiresAt) }),
    ...(lifeSeconds === undefined ? {} : { lifeSeconds: secondsOf(lifeSeconds, keySecondsMax) }),
  };
}

function instantOf(value: unknown): string {
  const text = textOf(value, instantForm);
  if (Number.isNaN(Date.parse(text)) || new Date(text).toISOString() !== text) throw new TypeError('an instant');
  return text;
}

function creationOf(entries: ReadonlyMap<string, unknown>) {
  const listed = entries.get('servers');
  if (!Array.isArray(listed) || listed.length === 0 || listed.length > controlLimits.serversMax) {
    throw new TypeError('servers');
  }
  const servers = [...new Set(listed.map((server: unknown) => textOf(server, serverForm)))];
  const lifeSeconds = entries.get('lifeSeconds');
  const title = entries.get('title');
  return {
    hash: textOf(entries.get('hash'), hashForm),
    servers,
    ...(lifeSeconds === undefined ? {} : { lifeSeconds: secondsOf(lifeSeconds, lifeSecondsMax) }),
    ...(title === undefined ? {} : { title: textOf(title, titleForm) }),
  };
}

function secondsOf(value: unknown, max: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > max) {
    throw new TypeError('seconds');
  }
  return value;
}

function textOf(value: unknown, form: RegExp): string {
  if (typeof value !== 'string' || !form.test(value)) throw new TypeError('a text of its form');
  return value;
}

function serverOf(value: unknown): string {
  if (typeof value !== 'string' || value === '' || value.length > controlLimits.serverCharsMax) {
    throw new TypeError('a server name');
  }
  return value;
}

function tokenOf(value: unknown): { readonly token?: string } {
  if (value === undefined) return {};
  if (typeof value !== 'string' || value === '' || Buffer.byteLength(value) > controlLimits.tokenBytesMax) {
    throw new TypeError('a token');
  }
  return { token: value };
}
