import { hkdfSync, type KeyObject } from 'node:crypto';

import type { ServerRef } from '#contract/lease.ts';

const keyBytes = 32;

/**
 * The key with which one server's proxies sign links and seal what clients keep for them, in base64url (`KeyPage.stateKey`). Derived
 * from the index key, so that every replica gives every pod the same, and bound to this very McpServer.
 */
export function stateKeyOf(indexKey: KeyObject, { namespace, name }: ServerRef, serverUid: string): string {
  const info = `mcp-keyring state key v1\n${namespace}\n${name}\n${serverUid}`;
  return Buffer.from(hkdfSync('sha256', indexKey, Buffer.alloc(0), info, keyBytes)).toString('base64url');
}
