import type { KeyWrapper } from './key-wrapper.ts';
import { parseHeader } from './format.ts';
import { authenticate, unwrapSeed } from './open.ts';
import { signHeader } from './seal.ts';

export interface RewrapOptions {
  /** Who can unwrap what is there. */
  readonly from: readonly KeyWrapper[];
  /** Whose current KEKs replace what is there. */
  readonly to: readonly KeyWrapper[];
}

/**
 * A new header for the same ciphertext: the seed under the current KEKs and a new MAC. The payload is neither read nor opened.
 * The old header is checked first, so that nothing forged becomes authentic.
 */
export async function rewrapHeader(headerBytes: Uint8Array, { from, to }: RewrapOptions): Promise<Buffer> {
  const header = parseHeader(headerBytes);
  using seed = await unwrapSeed(header, from);
  using keys = authenticate(header, seed);
  const wrappedSeeds = await Promise.all(to.map((wrapper) => wrapper.wrap(seed, header.context)));
  const { mac: _oldMac, ...unsigned } = header;
  return signHeader({ ...unsigned, wrappedSeeds }, keys);
}
