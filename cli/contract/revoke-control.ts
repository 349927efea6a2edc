/** To put keys out of use, at once and for good. */
export interface RevokeControl {
  readonly v: 1;
  readonly operation: 'revoke';
  readonly whose: 'own' | 'user' | 'everybody';
  /** Absent: every server of the namespace. */
  readonly server?: string;
  /** Of `user`: their id, their name, or the end of their UserKeys' names. */
  readonly user?: string;
  /** Of `everybody`: only keys with a value of this fingerprint. The value itself travels as a header value does. */
  readonly fingerprint?: string;
  readonly reason?: string;
  readonly token?: string;
}

export const revokeFields: readonly string[] = ['whose', 'server', 'user', 'fingerprint', 'reason'];

/** Name under which a leaked value is sent: it is no header, and has the form of one. */
export const leakedValueName = 'Leaked-Value';

export const revokeLimits = { userCharsMax: 512, reasonCharsMax: 256 } as const;

/** `fp-` and 26 base32 characters, which are 128 bits. */
export const fingerprintForm: RegExp = /^fp-[a-z2-7]{26}$/u;

const serverForm = /^[a-z0-9][a-z0-9-]{0,62}$/u;
/** Shown to people, so nothing that moves a cursor. */
const printable = /^[^\p{C}\p{Zl}\p{Zp}]+$/u;

/** Throws without any detail. */
export function revokeControlOf(entries: ReadonlyMap<string, unknown>): Omit<RevokeControl, 'token'> {
  const control = {
    v: 1,
    operation: 'revoke',
    whose: whoseOf(entries.get('whose')),
    ...textOf(entries, 'server', (text) => serverForm.test(text)),
    ...textOf(entries, 'user', (text) => text.length <= revokeLimits.userCharsMax && printable.test(text)),
    ...textOf(entries, 'fingerprint', (text) => fingerprintForm.test(text)),
    ...textOf(entries, 'reason', (text) => text.length <= revokeLimits.reasonCharsMax && printable.test(text)),
  } as const;
  const { whose, server, user, fingerprint } = control;
  const isWhole =
    (whose === 'user') === (user !== undefined) &&
    (whose !== 'own' || server !== undefined) &&
    (whose === 'everybody' || fingerprint === undefined);
  if (!isWhole) throw new TypeError('fields that belong together');
  return control;
}

function whoseOf(value: unknown): RevokeControl['whose'] {
  if (value === 'own' || value === 'user' || value === 'everybody') return value;
  throw new TypeError('whose');
}

function textOf<Name extends string>(
  entries: ReadonlyMap<string, unknown>,
  name: Name,
  fits: (text: string) => boolean,
): { readonly [name in Name]?: string } {
  const value = entries.get(name);
  if (value === undefined) return {};
  if (typeof value !== 'string' || !fits(value)) throw new TypeError(name);
  // One name, one value.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return { [name]: value } as { readonly [name in Name]?: string };
}
