import { aeadOpen } from './aead.ts';
import { EnvelopeError } from './errors.ts';
import {
  associatedData,
  authenticatedHeader,
  parseHeader,
  sealSizes,
  type Envelope,
  type EnvelopeContext,
  type EnvelopeHeader,
} from './format.ts';
import { deriveEnvelopeKeys, headerMac, sameBytes, type EnvelopeKeys } from './key-schedule.ts';
import type { KeyWrapper } from './key-wrapper.ts';
import { payloadBucketBytes, payloadBytesMax } from './payload.ts';
import type { SecretBytes } from './secret-bytes.ts';

/** What the opener knows by itself. Slot, generation and ends come from the envelope, authenticated, for the caller to judge. */
export type ExpectedContext = Omit<EnvelopeContext, 'slot' | 'gen' | 'exp' | 'det'>;

export interface OpenedEnvelope extends Disposable {
  readonly header: EnvelopeHeader;
  readonly payload: SecretBytes;
}

/**
 * Opens an envelope that must belong to `expected`.
 * @throws EnvelopeError with a code that says what is wrong; everything cryptographic is `ERR_ENVELOPE_NOT_AUTHENTIC`.
 */
export async function openEnvelope(
  envelope: Envelope,
  expected: ExpectedContext,
  wrappers: readonly KeyWrapper[],
): Promise<OpenedEnvelope> {
  const header = parseHeader(envelope.header);
  checkContext(header.context, expected);
  checkCiphertextLength(envelope.ciphertext);
  using seed = await unwrapSeed(header, wrappers);
  using keys = authenticate(header, seed);
  const opening = { key: keys.encryption.bytes, associatedData: associatedData(header) };
  const payload = aeadOpen(opening, envelope.ciphertext);
  return { header, payload, [Symbol.dispose]: () => payload[Symbol.dispose]() };
}

/** Checks the header's MAC and commitment: after this, the header is authentic. */
export function authenticate(header: EnvelopeHeader, seed: SecretBytes): EnvelopeKeys {
  const keys = deriveEnvelopeKeys({ seed, salt: header.salt, context: header.context });
  const macIsRight = sameBytes(headerMac(keys, authenticatedHeader(header)), header.mac);
  const commitmentIsRight = sameBytes(keys.commitment, header.commitment);
  if (macIsRight && commitmentIsRight) return keys;
  keys[Symbol.dispose]();
  throw new EnvelopeError('ERR_ENVELOPE_NOT_AUTHENTIC');
}

export async function unwrapSeed(header: EnvelopeHeader, wrappers: readonly KeyWrapper[]): Promise<SecretBytes> {
  for (const wrapper of wrappers) {
    const seed = await wrapper.unwrap(header.wrappedSeeds, header.context);
    if (seed === undefined) continue;
    if (seed.byteLength === sealSizes.seed) return seed;
    seed[Symbol.dispose]();
    throw new EnvelopeError('ERR_ENVELOPE_KEK_MALFORMED');
  }
  throw new EnvelopeError('ERR_ENVELOPE_KEK_UNKNOWN');
}

const expectedFields = [
  'cluster',
  'org',
  'ns',
  'name',
  'iss',
  'sub',
  'server',
] as const satisfies readonly (keyof ExpectedContext)[];

function checkContext(context: EnvelopeContext, expected: ExpectedContext): void {
  if (expectedFields.some((field) => context[field] !== expected[field])) {
    throw new EnvelopeError('ERR_ENVELOPE_CONTEXT_MISMATCH');
  }
}

function checkCiphertextLength(ciphertext: Uint8Array): void {
  const payloadBytes = ciphertext.byteLength - sealSizes.nonce - sealSizes.tag;
  if (payloadBytes < payloadBucketBytes || payloadBytes > payloadBytesMax || payloadBytes % payloadBucketBytes !== 0) {
    throw new EnvelopeError('ERR_ENVELOPE_CIPHERTEXT_LENGTH');
  }
}
