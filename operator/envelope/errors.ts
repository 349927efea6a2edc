/**
 * Everything that can be wrong with an envelope. `ERR_ENVELOPE_NOT_AUTHENTIC` is one code without detail: a wrong wrapping, a wrong MAC, a wrong
 * commitment and a wrong tag must look the same, or the answers become an oracle.
 */
const messages = {
  ERR_ENVELOPE_HEADER_TOO_LARGE: 'the envelope header is larger than 4 KiB',
  ERR_ENVELOPE_HEADER_MALFORMED: 'the envelope header is not the canonical JSON of an envelope header',
  ERR_ENVELOPE_VERSION_UNKNOWN: 'the envelope has a version that this release does not know',
  ERR_ENVELOPE_SUITE_UNKNOWN: 'the envelope has a suite that this release does not know',
  ERR_ENVELOPE_FIELD_UNKNOWN: 'the envelope header has a field that this release does not know',
  ERR_ENVELOPE_CONTEXT_INVALID: 'a value cannot be part of an envelope context',
  ERR_ENVELOPE_CONTEXT_MISMATCH: 'the envelope was sealed for another place',
  ERR_ENVELOPE_KEK_UNKNOWN: 'no key-encryption key named by the envelope is available',
  ERR_ENVELOPE_KEK_MALFORMED: 'a wrapped key or a key-encryption key has the wrong form',
  ERR_ENVELOPE_CIPHERTEXT_LENGTH: 'the envelope ciphertext has a length that no payload gives',
  ERR_ENVELOPE_PAYLOAD_INVALID: 'the headers to seal are too many, too long, or no headers',
  ERR_ENVELOPE_PAYLOAD_MALFORMED: 'the opened payload is not a header list',
  ERR_ENVELOPE_NOT_AUTHENTIC: 'the envelope does not open',
} as const;

export type EnvelopeErrorCode = keyof typeof messages;

/** `message` is constant for a code and never holds anything from the envelope. */
export class EnvelopeError extends Error {
  readonly code: EnvelopeErrorCode;

  constructor(code: EnvelopeErrorCode, options?: ErrorOptions) {
    super(messages[code], options);
    this.name = 'EnvelopeError';
    this.code = code;
  }
}
