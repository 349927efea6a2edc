import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';

import type { EnvelopeErrorCode } from '#operator/envelope/errors.ts';
import type { ExpectedContext } from '#operator/envelope/open.ts';

/**
 * One published vector: `key: value` lines.
 *
 *     expect: success | <error code>
 *     why: one sentence
 *     kek: <kid> <hex>             (one line for each; the first is current)
 *     expected: <JSON>             what the opener knows of the context
 *     header: <base64>
 *     ciphertext: <base64>
 *     payload: <hex>               (success only) what opening gives, padding included
 *     field: <name> <hex>          (success only) one for each header of the payload
 */
export interface EnvelopeVector {
  readonly name: string;
  readonly expect: 'success' | EnvelopeErrorCode;
  readonly why: string;
  readonly keks: readonly { readonly kid: string; readonly key: Buffer }[];
  readonly expected: ExpectedContext;
  readonly header: Buffer;
  readonly ciphertext: Buffer;
  readonly payload?: Buffer;
  readonly fields?: readonly { readonly name: string; readonly value: Buffer }[];
}

export const vectorFolder = resolve(import.meta.dirname, '../../../vectors/envelope');

export function writeVector(vector: EnvelopeVector): string {
  const lines = [
    `expect: ${vector.expect}`,
    `why: ${vector.why}`,
    ...vector.keks.map(({ kid, key }) => `kek: ${kid} ${key.toString('hex')}`),
    `expected: ${JSON.stringify(vector.expected)}`,
    `header: ${vector.header.toString('base64')}`,
    `ciphertext: ${vector.ciphertext.toString('base64')}`,
    ...(vector.payload === undefined ? [] : [`payload: ${vector.payload.toString('hex')}`]),
    ...(vector.fields ?? []).map(({ name, value }) => `field: ${name} ${value.toString('hex')}`),
  ];
  return `${lines.join('\n')}\n`;
}

export function readVector(name: string, text: string): EnvelopeVector {
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/: (.*)/s, 2) as [string, string]);
  const all = (key: string) => lines.filter(([field]) => field === key).map(([, value]) => value);
  const one = (key: string) => all(key)[0] ?? '';
  return {
    name,
    expect: one('expect') as EnvelopeVector['expect'],
    why: one('why'),
    keks: all('kek').map((line) => ({ kid: line.split(' ')[0]!, key: Buffer.from(line.split(' ')[1]!, 'hex') })),
    expected: JSON.parse(one('expected')) as ExpectedContext,
    header: Buffer.from(one('header'), 'base64'),
    ciphertext: Buffer.from(one('ciphertext'), 'base64'),
    payload: Buffer.from(one('payload'), 'hex'),
    fields: all('field').map((line) => ({ name: line.split(' ')[0]!, value: Buffer.from(line.split(' ')[1]!, 'hex') })),
  };
}

export function readVectors(): readonly EnvelopeVector[] {
  return readdirSync(vectorFolder)
    .filter((file) => file.endsWith('.txt'))
    .sort()
    .map((file) => readVector(file.slice(0, -4), readFileSync(`${vectorFolder}/${file}`, 'utf8')));
}
