import { readdirSync, readFileSync } from 'node:fs';

import { describe, expect, test } from 'vitest';

import { EnvelopeError } from '#operator/envelope/errors.ts';
import { LocalKekWrapper, localKek } from '#operator/envelope/local-kek.ts';
import { openEnvelope } from '#operator/envelope/open.ts';
import { decodePayload } from '#operator/envelope/payload.ts';
import { systemRandomness } from '#operator/envelope/randomness.ts';

import { secret } from './fixtures.ts';
import { readVectors, vectorFolder, type EnvelopeVector } from './vectors/format.ts';
import { makeVectors } from './vectors/generate.ts';

async function outcomeOf(vector: EnvelopeVector) {
  const keks = new Map(vector.keks.map(({ kid, key }) => [kid, localKek(secret(key))]));
  const wrapper = new LocalKekWrapper(() => ({ currentKid: vector.keks[0]!.kid, keks }), systemRandomness);
  try {
    using opened = await openEnvelope(vector, vector.expected, [wrapper]);
    const fields = decodePayload(opened.payload).map(({ name, value }) => ({ name, value: Buffer.from(value.bytes) }));
    return { expect: 'success', payload: Buffer.from(opened.payload.bytes), fields };
  } catch (error) {
    if (error instanceof EnvelopeError) return { expect: error.code };
    throw error;
  }
}

describe('published vectors', () => {
  const vectors = readVectors();

  test('cover success and every error code that opening can give', () => {
    expect(new Set(vectors.map((vector) => vector.expect))).toEqual(
      new Set([
        'success',
        'ERR_ENVELOPE_HEADER_TOO_LARGE',
        'ERR_ENVELOPE_HEADER_MALFORMED',
        'ERR_ENVELOPE_VERSION_UNKNOWN',
        'ERR_ENVELOPE_SUITE_UNKNOWN',
        'ERR_ENVELOPE_FIELD_UNKNOWN',
        'ERR_ENVELOPE_CONTEXT_INVALID',
        'ERR_ENVELOPE_CONTEXT_MISMATCH',
        'ERR_ENVELOPE_KEK_UNKNOWN',
        'ERR_ENVELOPE_CIPHERTEXT_LENGTH',
        'ERR_ENVELOPE_PAYLOAD_MALFORMED',
        'ERR_ENVELOPE_NOT_AUTHENTIC',
      ]),
    );
  });

  test.each(vectors.map((vector) => [vector.name, vector] as const))('%s', async (_name, vector) => {
    const { expect: expected, payload, fields } = vector;
    expect(await outcomeOf(vector)).toEqual(
      expected === 'success' ? { expect: expected, payload, fields } : { expect: expected },
    );
  });

  test('are what the code makes from the same randomness', async () => {
    const files = readdirSync(vectorFolder).filter((file) => file.endsWith('.txt'));
    const published = new Map(files.map((file) => [file, readFileSync(`${vectorFolder}/${file}`, 'utf8')]));
    expect(published).toEqual(await makeVectors());
  });
});
