import { createHash, createHmac, type KeyObject } from 'node:crypto';

import type { ServerRef, Subject } from '#contract/lease.ts';

/** Names under which keys are stored. No e-mail address or user id can be read or guessed from one. */

export const subjectKeyChars = 16;
const namespaceHashChars = 16;
const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';

/** Base32 of a keyed hash over issuer and id, the issuer's length first so that no two pairs give the same bytes. */
export function subjectKeyOf(indexKey: KeyObject, { issuer, id }: Pick<Subject, 'issuer' | 'id'>): string {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(Buffer.byteLength(issuer));
  const digest = createHmac('sha256', indexKey).update(length).update(issuer).update(id).digest();
  return base32(digest).slice(0, subjectKeyChars);
}

/** McpServer names have at most 46 characters, so this is a valid name. */
export function userKeyName(server: Pick<ServerRef, 'name'>, subjectKey: string): string {
  return `${server.name}-${subjectKey}`;
}

/**
 * All sealed keys live in one namespace, and servers of two namespaces may share a name. 64 bits, so that nobody can make up a
 * namespace whose Secrets would take the names of another's.
 */
export function sealedSecretName(namespace: string, userKey: string): string {
  return `${createHash('sha256').update(namespace).digest('hex').slice(0, namespaceHashChars)}-${userKey}`;
}

/** RFC 4648 section 6, lower case, without padding. */
export function base32(bytes: Uint8Array): string {
  let [bits, held, text] = [0, 0, ''];
  for (const byte of bytes) {
    held = ((held << 8) | byte) & 0xfff;
    for (bits += 8; bits >= 5; bits -= 5) text += alphabet.charAt((held >> (bits - 5)) & 31);
  }
  return bits === 0 ? text : text + alphabet.charAt((held << (5 - bits)) & 31);
}
