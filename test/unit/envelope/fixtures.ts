import type { EnvelopeContext } from '#operator/envelope/format.ts';
import type { ExpectedContext } from '#operator/envelope/open.ts';
import { LocalKekWrapper, localKek } from '#operator/envelope/local-kek.ts';
import { encodePayload } from '#operator/envelope/payload.ts';
import { systemRandomness } from '#operator/envelope/randomness.ts';
import { sealEnvelope } from '#operator/envelope/seal.ts';
import { SecretBytes } from '#operator/envelope/secret-bytes.ts';

export const context: EnvelopeContext = {
  cluster: 'cluster-uid',
  org: 'default',
  ns: 'team-a',
  name: 'github-mfrggzdfmztwq2lk',
  iss: 'https://idp.example.com',
  sub: 'alice',
  server: 'server-uid',
  slot: 'authorization',
  gen: 3,
};

export function expectedOf({ slot: _slot, gen: _gen, ...expected }: EnvelopeContext): ExpectedContext {
  return expected;
}

export function secret(text: string | Uint8Array): SecretBytes {
  return SecretBytes.takeFrom(typeof text === 'string' ? Buffer.from(text) : Buffer.from(text));
}

/** A wrapper over new random KEKs; the first key id is the current one. */
export function wrapperOf(...kids: readonly [string, ...string[]]): LocalKekWrapper {
  const keks = new Map(
    kids.map((kid) => {
      const key = SecretBytes.alloc(32);
      systemRandomness(key.bytes);
      return [kid, localKek(key)];
    }),
  );
  return new LocalKekWrapper(() => ({ currentKid: kids[0], keks }), systemRandomness);
}

export const options = (...wrappers: readonly LocalKekWrapper[]) => ({
  wrappers,
  randomness: systemRandomness,
  now: new Date('2026-11-24T10:00:00.000Z'),
});

export async function sealOne(wrapper: LocalKekWrapper, value = 'example-token', at: EnvelopeContext = context) {
  using payload = encodePayload([{ name: 'Authorization', value: secret(value) }]);
  return await sealEnvelope(payload, at, options(wrapper));
}
