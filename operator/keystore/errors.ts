import { EnvelopeError, type EnvelopeErrorCode } from '#operator/envelope/errors.ts';

/** Everything that can be wrong with stored keys and the keys that wrap them. Messages are for the log of an operator. */
const messages = {
  /** The Secret or its envelope has the wrong form, or does not open. `cause` has the envelope's code. */
  Unreadable: 'the sealed key does not open',
  /** Authentic, but of an earlier version than the one on record. */
  RolledBack: 'the sealed key is older than the version on record',
  /** A sealed key of another user, namespace or cluster lies under this name. */
  ContextMismatch: 'the sealed key belongs to another place',
  /** No KEK that the envelope names is at hand. */
  KekMissing: 'the key-encryption key that the sealed key names is not available',
  /** More bytes than an envelope holds, or a user id that is too long for one. */
  NotSealable: 'the key cannot be sealed',
  /** Somebody else wrote meanwhile. */
  WriteConflict: 'the sealed key was changed by another writer',
  /** Nobody can say whether the cached Secrets are the present ones. */
  ViewStale: 'the cache of sealed keys does not follow the API server',
  /** A Secret that the chart makes is not there. */
  SecretNotFound: 'a Secret of the operator does not exist; install the chart again',
  /** A Secret that holds key material is empty although sealed keys exist: a new one would make all of them unreadable. */
  KeyMaterialLost: 'a Secret with key material is empty although sealed keys exist; restore it from a backup',
  /** A Secret with key material has the wrong form. */
  KeyMaterialMalformed: 'a Secret with key material has the wrong form',
} as const;

export type KeyStoreErrorCode = keyof typeof messages;

export class KeyStoreError extends Error {
  readonly code: KeyStoreErrorCode;

  constructor(code: KeyStoreErrorCode, options?: ErrorOptions) {
    super(messages[code], options);
    this.name = 'KeyStoreError';
    this.code = code;
  }
}

/** What the failure of an envelope means to who wanted the key. */
const codes: Readonly<Record<EnvelopeErrorCode, KeyStoreErrorCode>> = {
  ERR_ENVELOPE_HEADER_TOO_LARGE: 'Unreadable',
  ERR_ENVELOPE_HEADER_MALFORMED: 'Unreadable',
  ERR_ENVELOPE_VERSION_UNKNOWN: 'Unreadable',
  ERR_ENVELOPE_SUITE_UNKNOWN: 'Unreadable',
  ERR_ENVELOPE_FIELD_UNKNOWN: 'Unreadable',
  ERR_ENVELOPE_CONTEXT_INVALID: 'NotSealable',
  ERR_ENVELOPE_CONTEXT_MISMATCH: 'ContextMismatch',
  ERR_ENVELOPE_KEK_UNKNOWN: 'KekMissing',
  ERR_ENVELOPE_KEK_MALFORMED: 'Unreadable',
  ERR_ENVELOPE_CIPHERTEXT_LENGTH: 'Unreadable',
  ERR_ENVELOPE_PAYLOAD_INVALID: 'NotSealable',
  ERR_ENVELOPE_PAYLOAD_MALFORMED: 'Unreadable',
  ERR_ENVELOPE_NOT_AUTHENTIC: 'Unreadable',
};

/** `error` as one of ours, when it is an envelope's. */
export function asKeyStoreError(error: unknown): unknown {
  return error instanceof EnvelopeError ? new KeyStoreError(codes[error.code], { cause: error }) : error;
}
