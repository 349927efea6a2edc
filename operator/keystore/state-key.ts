import { createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';

import type { ServerRef } from '#contract/lease.ts';

const keyBytes = 32;

/**
 * The key with which one server's proxies sign links and seal what clients keep for them, in base64url (`KeyPage.stateKey`). Derived
 * from the index key, so that every replica gives every pod the same, and bound to this very McpServer.
 */
export function stateKeyOf(indexKey: KeyObject, server: ServerRef, serverUid: string): string {
  return derive(indexKey, ['mcp-keyring state key v1', server.namespace, server.name, serverUid]).toString('base64url');
}

/** The key with which one server's proxies mark ids of sessions, in base64url (`PolicySnapshot.sessionKey`). */
export function sessionKeyOf(indexKey: KeyObject, server: ServerRef, serverUid: string): string {
  return derive(indexKey, ['mcp-keyring session key v1', server.namespace, server.name, serverUid]).toString(
    'base64url',
  );
}

/** The key of receipts: the same in every replica of the operator, which it does not leave. */
export function receiptKeyOf(indexKey: KeyObject): KeyObject {
  return createSecretKey(derive(indexKey, ['mcp-keyring receipt key v1']));
}

/**
 * The key of fingerprints, of one organization: equal values of its users are known by them, and nobody who has not this key can try
 * values against one.
 */
export function fingerprintKeyOf(indexKey: KeyObject, organization: string): KeyObject {
  return createSecretKey(derive(indexKey, ['mcp-keyring fingerprint key v1', organization]));
}

function derive(indexKey: KeyObject, info: readonly string[]): Buffer {
  return Buffer.from(hkdfSync('sha256', indexKey, Buffer.alloc(0), info.join('\n'), keyBytes));
}
