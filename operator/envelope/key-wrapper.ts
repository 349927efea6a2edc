import type { EnvelopeContext, WrappedSeed } from './format.ts';
import type { SecretBytes } from './secret-bytes.ts';

/** A KEK provider: a local KEK, a KMS v2 plugin, Vault transit. */
export interface KeyWrapper {
  /** Wraps under the current KEK. `seed` stays the caller's. */
  wrap(seed: SecretBytes, context: EnvelopeContext): Promise<WrappedSeed>;
  /**
   * Resolves `undefined` when none of `wrapped` is addressed to a KEK of this provider. Rejects when one is and it is broken
   * (`ERR_ENVELOPE_NOT_AUTHENTIC`), or when the provider cannot be reached. The seed is the caller's to dispose.
   */
  unwrap(wrapped: readonly WrappedSeed[], context: EnvelopeContext): Promise<SecretBytes | undefined>;
}
