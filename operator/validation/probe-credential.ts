import { hkdfSync, type KeyObject } from 'node:crypto';

import type { ServerRef, Subject } from '#contract/lease.ts';
import { aeadOpen, aeadSeal } from '#operator/envelope/aead.ts';
import { EnvelopeError } from '#operator/envelope/errors.ts';
import { sealSizes } from '#operator/envelope/format.ts';
import { decodePayload, encodePayload } from '#operator/envelope/payload.ts';
import type { Randomness } from '#operator/envelope/randomness.ts';
import { SecretBytes } from '#operator/envelope/secret-bytes.ts';
import type { KeyHeader } from '#operator/keystore/key-store.ts';
import { base32 } from '#operator/keystore/names.ts';

/** What a probe credential is for: one key of one user at one server, for seconds. */
export interface ProbeClaims {
  readonly organization: string;
  readonly server: ServerRef;
  readonly serverUid: string;
  readonly subject: Subject;
  /** 0: a key that is not stored. */
  readonly keyVersion: number;
  readonly endsAtMs: number;
}

export interface OpenedProbe extends Disposable {
  readonly claims: ProbeClaims;
  readonly headers: readonly KeyHeader[];
  /** Tells this probe's belongings in a sidecar from everybody's. */
  readonly probeKey: string;
}

export interface ProbeCredentialOptions {
  /** Every replica has the same. */
  readonly indexKey: KeyObject;
  readonly randomness: Randomness;
  readonly now: () => Date;
}

export const probeCredentialPrefix = 'mkp_';
/** A head of a request has room for it. */
export const probeCredentialCharsMax = 12_000;
/** Longest life of one: a probe takes less. */
export const probeCredentialMsMax = 30_000;

const keyBytes = 32;
const lengthBytes = 4;

/**
 * Credentials that the operator makes for itself: with one it calls a server in the cluster, and the sidecar there leases by it
 * exactly the key that is sealed in it. So the key takes the way of every call, through the sidecar, and no replica has to ask another.
 *
 *     mkp_ base64url( salt(32) | AES-256-GCM(HKDF(index key, salt), claims length(4) | claims JSON | header list) )
 */
export class ProbeCredentials {
  readonly #options: ProbeCredentialOptions;

  constructor(options: ProbeCredentialOptions) {
    this.#options = options;
  }

  /** Undefined when the values are too long for the head of a request. */
  seal(claims: Omit<ProbeClaims, 'endsAtMs'>, headers: readonly KeyHeader[]): string | undefined {
    const { randomness, now } = this.#options;
    const json = Buffer.from(JSON.stringify({ ...claims, endsAtMs: now().getTime() + probeCredentialMsMax }));
    using list = encodePayload(headers);
    using plaintext = SecretBytes.alloc(lengthBytes + json.byteLength + list.byteLength);
    plaintext.bytes.writeUInt32BE(json.byteLength, 0);
    plaintext.bytes.set(json, lengthBytes);
    plaintext.bytes.set(list.bytes, lengthBytes + json.byteLength);
    const salt = Buffer.alloc(sealSizes.salt);
    randomness(salt);
    const nonce = Buffer.alloc(sealSizes.nonce);
    randomness(nonce);
    const sealed = aeadSeal({ key: this.#keyOf(salt), associatedData: context }, nonce, plaintext);
    const credential = `${probeCredentialPrefix}${Buffer.concat([salt, sealed]).toString('base64url')}`;
    return credential.length > probeCredentialCharsMax ? undefined : credential;
  }

  /** Undefined for what none of our replicas has made, or what has ended. */
  open(credential: string): OpenedProbe | undefined {
    if (!credential.startsWith(probeCredentialPrefix) || credential.length > probeCredentialCharsMax) return undefined;
    const bytes = Buffer.from(credential.slice(probeCredentialPrefix.length), 'base64url');
    const salt = bytes.subarray(0, sealSizes.salt);
    if (salt.byteLength < sealSizes.salt) return undefined;
    try {
      using plaintext = aeadOpen({ key: this.#keyOf(salt), associatedData: context }, bytes.subarray(sealSizes.salt));
      return this.#read(plaintext, salt);
    } catch (error) {
      if (error instanceof EnvelopeError) return undefined;
      throw error;
    }
  }

  #read({ bytes }: SecretBytes, salt: Buffer): OpenedProbe | undefined {
    const claimsEnd = lengthBytes + bytes.readUInt32BE(0);
    // Authentic by now, so it is what `seal` has written.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    const claims = JSON.parse(bytes.subarray(lengthBytes, claimsEnd).toString()) as ProbeClaims;
    if (claims.endsAtMs <= this.#options.now().getTime()) return undefined;
    using list = SecretBytes.takeFrom(bytes.subarray(claimsEnd));
    const headers = decodePayload(list);
    const probeKey = `probe-${base32(salt).slice(0, 26)}`;
    return {
      claims,
      headers,
      probeKey,
      [Symbol.dispose]: () => headers.forEach(({ value }) => value[Symbol.dispose]()),
    };
  }

  #keyOf(salt: Buffer): Buffer {
    return Buffer.from(hkdfSync('sha256', this.#options.indexKey, salt, context, keyBytes));
  }
}

const context = Buffer.from('mcp-keyring probe credential v1');
