import { randomBytes } from 'node:crypto';

import { gcmOpen, gcmSeal, gcmSizes } from './gcm.ts';
import { headerListByteLength, readHeaderList, writeHeaderList, type HeaderField } from './header-list.ts';
import { HpkeError, hpkeOpen, hpkeSeal, hpkeSizes, type Exporter, type HpkeKeyPair } from './hpke.ts';
import { offHeapBuffer } from './off-heap-buffer.ts';
import { parseControl, type UserKeyControl } from './request-control.ts';
import type { UserKeyResponse } from './responses.ts';

/**
 * A request of a user to the operator and its answer, as the custom resource UserKeyRequest carries them:
 *
 *     plaintext = version(1) = 0x01 | control length(4, big endian) | control JSON | header list | zero bytes
 *     request   = HPKE to the intake key, info and associated data as below
 *     response  = nonce(12) | AES-256-GCM(exported secret, response JSON and blanks, exporter context) | tag(16)
 *
 * Both are padded, so that lengths tell little. Only the requester has the exported secret, so only they read the answer.
 */

export const intakeSuite = 'DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM';

export const requestLimits = {
  plaintextBytesMax: 163_840,
  controlBytesMax: 24_576,
  responseBytesMax: 196_608 - 28,
  requestBucketBytes: 256,
  responseBucketBytes: 512,
} as const;

/** What the ConfigMap `mcp-keyring-intake` holds. */
export interface IntakePublicKey {
  readonly keyId: string;
  /** Raw X25519, base64. */
  readonly publicKey: string;
  readonly suite: string;
}

/** Who asks and where. Bound into the request: nobody can send it again under another name or elsewhere. */
export interface RequestPlace {
  readonly namespace: string;
  readonly username: string;
}

export interface UserKeyOrder {
  readonly control: UserKeyControl;
  /** Only for `set`, for `test` of a key that is not stored, and for `revoke` of a value that has leaked. */
  readonly headers: readonly HeaderField[];
}

/** The sealed fields of UserKeyRequest.spec. */
export interface SealedRequest {
  readonly keyId: string;
  readonly enc: string;
  readonly ciphertext: string;
}

/** `unreadable`: not sealed to this key or for this place. `response`: an answer that does not open. */
export class UserKeyRequestError extends Error {
  readonly code: 'ERR_REQUEST_UNREADABLE' | 'ERR_REQUEST_TOO_LARGE' | 'ERR_INTAKE_KEY' | 'ERR_RESPONSE_UNREADABLE';

  constructor(code: UserKeyRequestError['code'], message: string) {
    super(message);
    this.name = 'UserKeyRequestError';
    this.code = code;
  }
}

const info = Buffer.from('mcp-keyring/user-key-request/v1');
const responseContext = Buffer.from('mcp-keyring/user-key-request/v1/response');
const responseKeyBytes = 32;
const plaintextVersion = 1;
const prefixBytes = 5;

/** The CLI's side. Zeroing the values in `order` stays the caller's duty. */
export function sealUserKeyRequest(
  recipient: IntakePublicKey,
  place: RequestPlace,
  order: UserKeyOrder,
): SealedRequest & { readonly openResponse: (sealed: string) => UserKeyResponse } {
  if (recipient.suite !== intakeSuite) {
    throw new UserKeyRequestError('ERR_INTAKE_KEY', 'the operator uses another suite; use a newer kubectl mcpkeys');
  }
  const plaintext = encodeOrder(order);
  try {
    const sealed = hpkeSeal(Buffer.from(recipient.publicKey, 'base64'), plaintext, hpkeInput(place));
    return {
      keyId: recipient.keyId,
      enc: sealed.enc.toString('base64'),
      ciphertext: sealed.ciphertext.toString('base64'),
      openResponse: (response) => openResponse(response, sealed.exporter),
    };
  } finally {
    plaintext.fill(0);
  }
}

/** The operator's side. Disposing it zeroes the header values. */
export interface ReceivedRequest extends Disposable {
  /** `malformed` can be answered, because the answer can be sealed. */
  readonly order: { readonly kind: 'order'; readonly value: UserKeyOrder } | { readonly kind: 'malformed' };
  sealResponse(response: UserKeyResponse): string;
}

/** @throws UserKeyRequestError `ERR_REQUEST_UNREADABLE` */
export function openUserKeyRequest(
  recipient: HpkeKeyPair,
  place: RequestPlace,
  sealed: Pick<SealedRequest, 'enc' | 'ciphertext'>,
): ReceivedRequest {
  const { plaintext, exporter } = openSealed(recipient, place, sealed);
  return {
    order: decodeOrder(plaintext),
    sealResponse: (response) => sealResponse(response, exporter),
    [Symbol.dispose]: () => {
      plaintext.fill(0);
      exporter[Symbol.dispose]();
    },
  };
}

function openSealed(recipient: HpkeKeyPair, place: RequestPlace, sealed: Pick<SealedRequest, 'enc' | 'ciphertext'>) {
  const [enc, ciphertext] = [Buffer.from(sealed.enc, 'base64'), Buffer.from(sealed.ciphertext, 'base64')];
  if (ciphertext.byteLength > requestLimits.plaintextBytesMax + hpkeSizes.tag) throw unreadable();
  try {
    return hpkeOpen(recipient, { enc, ciphertext }, hpkeInput(place));
  } catch (error) {
    throw error instanceof HpkeError ? unreadable() : error;
  }
}

function unreadable(): UserKeyRequestError {
  return new UserKeyRequestError('ERR_REQUEST_UNREADABLE', 'the request does not open');
}

function hpkeInput({ namespace, username }: RequestPlace) {
  const associatedData = Buffer.concat([namespace, username].flatMap((text) => [lengthOf(text), Buffer.from(text)]));
  return { suite: 'AES-256-GCM', info, associatedData } as const;
}

function lengthOf(text: string): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(Buffer.byteLength(text));
  return length;
}

function encodeOrder({ control, headers }: UserKeyOrder): Buffer {
  const json = Buffer.from(JSON.stringify(control));
  const lengthBytes = padded(
    prefixBytes + json.byteLength + headerListByteLength(headers),
    requestLimits.requestBucketBytes,
  );
  if (json.byteLength > requestLimits.controlBytesMax || lengthBytes > requestLimits.plaintextBytesMax) {
    throw new UserKeyRequestError('ERR_REQUEST_TOO_LARGE', 'the keys of one request are too long together');
  }
  const plaintext = offHeapBuffer(lengthBytes);
  plaintext.writeUInt8(plaintextVersion, 0);
  plaintext.writeUInt32BE(json.byteLength, 1);
  plaintext.set(json, prefixBytes);
  writeHeaderList(headers, plaintext, prefixBytes + json.byteLength);
  return plaintext;
}

const takesValues: ReadonlySet<string> = new Set(['set', 'test', 'revoke']);

/** Header values are views into `plaintext`. */
function decodeOrder(plaintext: Buffer): ReceivedRequest['order'] {
  if (plaintext.byteLength < prefixBytes || plaintext.readUInt8(0) !== plaintextVersion) return { kind: 'malformed' };
  const controlEnd = prefixBytes + plaintext.readUInt32BE(1);
  if (controlEnd > plaintext.byteLength || controlEnd - prefixBytes > requestLimits.controlBytesMax) {
    return { kind: 'malformed' };
  }
  try {
    const control = parseControl(plaintext.subarray(prefixBytes, controlEnd));
    const list = plaintext.subarray(controlEnd);
    const { fields, end } = readHeaderList(list);
    const isWhole = list.subarray(end).every((byte) => byte === 0);
    if (!isWhole || (!takesValues.has(control.operation) && fields.length > 0)) return { kind: 'malformed' };
    return { kind: 'order', value: { control, headers: fields } };
  } catch {
    return { kind: 'malformed' };
  }
}

function sealResponse(response: UserKeyResponse, exporter: Exporter): string {
  const json = Buffer.from(JSON.stringify(response));
  if (json.byteLength > requestLimits.responseBytesMax) throw new RangeError('a response is longer than its limit');
  const plaintext = Buffer.alloc(padded(json.byteLength, requestLimits.responseBucketBytes), ' ');
  plaintext.set(json);
  const nonce = randomBytes(gcmSizes.nonce);
  const key = exporter.export(responseContext, responseKeyBytes);
  const sealed = gcmSeal(responseInput(key, nonce), plaintext);
  key.fill(0);
  return Buffer.concat([nonce, sealed]).toString('base64');
}

function openResponse(sealed: string, exporter: Exporter): UserKeyResponse {
  const bytes = Buffer.from(sealed, 'base64');
  const nonce = bytes.subarray(0, gcmSizes.nonce);
  if (nonce.byteLength < gcmSizes.nonce) throw responseUnreadable();
  const key = exporter.export(responseContext, responseKeyBytes);
  const json = gcmOpen(responseInput(key, nonce), bytes.subarray(gcmSizes.nonce));
  key.fill(0);
  if (json === undefined) throw responseUnreadable();
  return responseOf(JSON.parse(json.toString()));
}

function responseInput(key: Buffer, nonce: Uint8Array) {
  return { cipher: 'aes-256-gcm', key, nonce, associatedData: responseContext } as const;
}

function responseUnreadable(): UserKeyRequestError {
  return new UserKeyRequestError('ERR_RESPONSE_UNREADABLE', 'the answer of the operator does not open');
}

/** The answer is authentic by now; what is left to check is that this release knows its version. */
function responseOf(value: unknown): UserKeyResponse {
  if (isResponse(value)) return value;
  throw new UserKeyRequestError('ERR_RESPONSE_UNREADABLE', 'the operator is newer; use a newer kubectl mcpkeys');
}

function isResponse(value: unknown): value is UserKeyResponse {
  return typeof value === 'object' && value !== null && 'v' in value && value.v === 1 && 'outcome' in value;
}

function padded(lengthBytes: number, bucketBytes: number): number {
  return Math.ceil(lengthBytes / bucketBytes) * bucketBytes;
}
