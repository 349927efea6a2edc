import { Buffer } from 'node:buffer';
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { KeyPage } from './key-page.ts';
import type { ServerRef } from './lease.ts';

/**
 * The link that a client is asked to open: the key page with `?ask=<token>`. The token says that the proxy asked one user about one
 * server, and names neither: the page, which has its own login, can tell by it whether the visitor is the user who was asked (MCP,
 * Elicitation, "Phishing"). It opens nothing by itself.
 *
 * Token: base64url of nonce (16 bytes) | end, seconds since 1970 (6 bytes) | first 16 bytes of HMAC-SHA256 over the rest. The page
 * remembers nonces until their end, so that each counts once.
 */

export const askParameter = 'ask';
/** How long the page takes a link for one that was asked for. */
export const askSecondsMax = 900;

const nonceBytes = 16;
const endBytes = 6;
const macBytes = 16;

/** Whom the proxy asked, about what. */
export interface Asked {
  readonly server: ServerRef;
  /** Opaque id of the user, as in a lease. */
  readonly subjectKey: string;
}

export interface KeyLink {
  readonly url: string;
  /** The nonce in base64url, 22 characters: an id that says nothing. */
  readonly nonce: string;
}

export function createKeyLink(page: KeyPage, asked: Asked, now: Date): KeyLink {
  const nonce = randomBytes(nonceBytes);
  const end = Buffer.alloc(endBytes);
  end.writeUIntBE(Math.floor(now.getTime() / 1_000) + askSecondsMax, 0, endBytes);
  const mac = macOf(page.stateKey, Buffer.concat([nonce, end]), asked);
  const token = Buffer.concat([nonce, end, mac]).toString('base64url');
  const url = new URL(page.url);
  url.searchParams.set(askParameter, token);
  return { url: url.href, nonce: nonce.toString('base64url') };
}

/** Resolves the nonce; `undefined` for what was not asked of this user about this server, or too long ago. */
export function verifyKeyLink(
  token: string,
  { stateKey, asked, now }: { readonly stateKey: string; readonly asked: Asked; readonly now: Date },
): string | undefined {
  const bytes = Buffer.from(token, 'base64url');
  if (bytes.byteLength !== nonceBytes + endBytes + macBytes) return undefined;
  const claim = bytes.subarray(0, nonceBytes + endBytes);
  if (!timingSafeEqual(bytes.subarray(claim.byteLength), macOf(stateKey, claim, asked))) return undefined;
  if (claim.readUIntBE(nonceBytes, endBytes) * 1_000 < now.getTime()) return undefined;
  return claim.subarray(0, nonceBytes).toString('base64url');
}

/** The parts cannot contain the character between them. */
function macOf(stateKey: string, claim: Buffer, { server, subjectKey }: Asked): Buffer {
  return createHmac('sha256', Buffer.from(stateKey, 'base64url'))
    .update('mcp-keyring key link v1\n')
    .update(`${server.namespace}\n${server.name}\n${subjectKey}\n`)
    .update(claim)
    .digest()
    .subarray(0, macBytes);
}
