import type { DiscoveryKey, LeaseResponse } from '#contract/lease.ts';
import { SecretBytes } from '#operator/envelope/secret-bytes.ts';

import type { KeylessResponse } from './lease-service.ts';
import type { SplitTemplate } from './header-bytes.ts';
import { jsonLength, writeJson } from './header-bytes.ts';

/** A granted lease without its headers. */
export type GrantedTerms = Omit<Extract<LeaseResponse, { decision: 'granted' }>, 'headers'>;

/** One header to be handed out. `value` stays the property of who opened the key. */
export interface HeaderToLease {
  readonly name: string;
  readonly template: SplitTemplate;
  readonly value: SecretBytes;
}

/**
 * The body of a granted lease in two parts, JSON only together: what is no secret, and the headers. They are written apart, so
 * that the TLS layer encrypts the second straight from its buffer instead of copying both together first.
 */
export interface GrantedBody extends Disposable {
  readonly open: Buffer;
  readonly secret: SecretBytes;
}

export function encodeGranted(terms: GrantedTerms, headers: readonly HeaderToLease[]): GrantedBody {
  const { prefix, suffix } = granted;
  return encode(terms, headers, { prefix, suffix });
}

/** A refused lease with a key that only serves to learn what the server offers. */
export function encodeDiscovery(
  refused: KeylessResponse,
  discovery: Omit<DiscoveryKey, 'headers'>,
  headers: readonly HeaderToLease[],
): GrantedBody {
  const { leaseId, keyVersion } = discovery;
  const about = JSON.stringify({ leaseId, keyVersion }).slice(0, -1);
  const prefix = Buffer.from(`,"discovery":${about},"headers":[`);
  return encode(refused, headers, { prefix, suffix: Buffer.from(']}}') });
}

interface Around {
  readonly prefix: Buffer;
  readonly suffix: Buffer;
}

const granted: Around = { prefix: Buffer.from(',"headers":['), suffix: Buffer.from(']}') };

function encode(terms: object, headers: readonly HeaderToLease[], { prefix, suffix }: Around): GrantedBody {
  const open = Buffer.from(JSON.stringify(terms).slice(0, -1), 'utf8');
  const parts = headers.map((header, index) => encodeFrame(header, index));
  const lengthBytes = parts.reduce((sum, part) => sum + part.lengthBytes, prefix.byteLength + suffix.byteLength);
  const secret = SecretBytes.alloc(lengthBytes);
  let at = copy(prefix, secret.bytes, 0);
  for (const part of parts) at = writePart(part, secret.bytes, at);
  copy(suffix, secret.bytes, at);
  return { open, secret, [Symbol.dispose]: () => secret[Symbol.dispose]() };
}

interface Part {
  readonly begin: Buffer;
  readonly header: HeaderToLease;
  readonly lengthBytes: number;
}

const end = Buffer.from('"}');

function encodeFrame(header: HeaderToLease, index: number): Part {
  const { before, after } = header.template;
  const key = { start: before.byteLength, end: before.byteLength + header.value.bytes.byteLength };
  const fields = `"name":${JSON.stringify(header.name)},"key":${JSON.stringify(key)}`;
  const begin = Buffer.from(`${index === 0 ? '' : ','}{${fields},"value":"`);
  const valueBytes = jsonLength(before) + jsonLength(header.value.bytes) + jsonLength(after);
  return { begin, header, lengthBytes: begin.byteLength + valueBytes + end.byteLength };
}

function writePart({ begin, header }: Part, target: Buffer, offset: number): number {
  let at = copy(begin, target, offset);
  at = writeJson(header.template.before, target, at);
  at = writeJson(header.value.bytes, target, at);
  at = writeJson(header.template.after, target, at);
  return copy(end, target, at);
}

function copy(source: Buffer, target: Buffer, offset: number): number {
  return offset + source.copy(target, offset);
}
