/** The readable part of a request: what is asked for, never a key value. */
export type UserKeyControl =
  | {
      readonly v: 1;
      readonly operation: 'set' | 'delete' | 'status' | 'test';
      readonly server: string;
      readonly token?: string;
    }
  | { readonly v: 1; readonly operation: 'list'; readonly token?: string };

export type UserKeyOperation = UserKeyControl['operation'];

export const controlLimits = { serverCharsMax: 63, tokenBytesMax: 16_384 } as const;

const fields: ReadonlySet<string> = new Set(['v', 'operation', 'server', 'token']);

/** Strict: an unknown field may be something that an older operator would leave undone. Throws without any detail. */
export function parseControl(bytes: Buffer): UserKeyControl {
  const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  if (typeof value !== 'object' || value === null) throw new TypeError('a control object');
  const entries = new Map<string, unknown>(Object.entries(value));
  if (entries.get('v') !== 1 || ![...entries.keys()].every((name) => fields.has(name)))
    throw new TypeError('version 1');
  const operation = entries.get('operation');
  const token = tokenOf(entries.get('token'));
  switch (operation) {
    case 'list':
      if (entries.has('server')) throw new TypeError('no server');
      return { v: 1, operation, ...token };
    case 'set':
    case 'delete':
    case 'status':
    case 'test':
      return { v: 1, operation, server: serverOf(entries.get('server')), ...token };
    default:
      throw new TypeError('an operation');
  }
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
