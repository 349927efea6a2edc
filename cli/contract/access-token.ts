import { createHash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

/**
 * `mkt_`, 43 characters of 32 random bytes (base64url), 8 of a CRC-32 in hexadecimal: what is mistyped is told from what is wrong, and
 * scanners find tokens that were published. The expression for them: `mkt_[A-Za-z0-9_-]{43}[0-9a-f]{8}`.
 */
const form = /^(?<body>mkt_[A-Za-z0-9_-]{43})(?<checksum>[0-9a-f]{8})$/u;
const prefix = 'mkt_';
const randomBytesCount = 32;

export type AccessTokenReading = 'accessToken' | 'mistyped' | 'somethingElse';

export function newAccessToken(): string {
  const body = `${prefix}${randomBytes(randomBytesCount).toString('base64url')}`;
  return `${body}${checksumOf(body)}`;
}

/** Pure. It tells the form alone; whether anybody made the token, only the operator knows. */
export function readAccessToken(credential: string): AccessTokenReading {
  if (!credential.startsWith(prefix)) return 'somethingElse';
  const { body = '', checksum } = form.exec(credential)?.groups ?? {};
  return checksum !== undefined && checksumOf(body) === checksum ? 'accessToken' : 'mistyped';
}

/**
 * What is stored of a token. One round of SHA-256 and no salt: a token is 256 random bits, so nobody finds one from its hash by
 * guessing, and a slow hash would only let strangers keep the broker busy.
 */
export function accessTokenHash(token: string): string {
  return createHash('sha256').update('mcp-keyring/access-token/v1\n').update(token).digest('base64url');
}

function checksumOf(body: string): string {
  return crc32(body).toString(16).padStart(8, '0');
}
