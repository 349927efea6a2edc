import { createHash } from 'node:crypto';

import canonicalize from 'canonicalize';

import { EnvelopeError } from './errors.ts';
import { Fields, readBase64 } from './header-fields.ts';
import { areSlotTimes, readSlotTimes, type SlotTimes } from './slot-times.ts';

/**
 * The header of an envelope, "UKE v1": canonical JSON (RFC 8785), at most 4 KiB.
 *
 *     { "v":1, "suite":…, "ctx":{…}, "salt":…, "commit":…, "keks":[{ "p", "kid", "wk", "ann"? }…], "created":…, "mac":… }
 *
 * Nothing in it is secret. Parsing accepts exactly what serializing gives, byte for byte, so one header has one form.
 */

export const envelopeVersion = 1;
export const envelopeSuite = 'A256GCM-HKDF-SHA256-HC1';

export const envelopeLimits = {
  headerBytesMax: 4_096,
  contextTextBytesMax: 512,
  slotBytesMax: 2_048,
  keksMax: 4,
  wrappedKeyBytesMax: 1_024,
  annotationsMax: 8,
} as const;

export const sealSizes = { seed: 32, salt: 32, commitment: 32, mac: 32, nonce: 12, tag: 16 } as const;

/** Where an envelope belongs. Each field is bound into the keys and into the associated data. */
export interface EnvelopeContext {
  /** UID of the namespace `kube-system`: an envelope of one cluster does not open in another. */
  readonly cluster: string;
  readonly org: string;
  readonly ns: string;
  /** Name of the UserKey. */
  readonly name: string;
  readonly iss: string;
  readonly sub: string;
  /** UID of the McpServer. */
  readonly server: string;
  /** Names of the sealed headers: lower case, sorted, joined by commas. */
  readonly slot: string;
  /** Version of the key; grows with every write, so that a rolled-back Secret is noticed. */
  readonly gen: number;
  /** When the values end, as their user said. Absent: of none is it known. */
  readonly exp?: SlotTimes;
  /** When the values end, as they say themselves. Absent: of none is it known. */
  readonly det?: SlotTimes;
}

/** The seed under one KEK. `provider` and `kid` say who unwraps it, so nobody ever has to try. */
export interface WrappedSeed {
  readonly provider: string;
  readonly kid: string;
  readonly wrapped: Buffer;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface EnvelopeHeader {
  readonly context: EnvelopeContext;
  readonly salt: Buffer;
  readonly commitment: Buffer;
  readonly wrappedSeeds: readonly WrappedSeed[];
  /** RFC 3339, UTC. */
  readonly created: string;
  readonly mac: Buffer;
}

/** What a Secret holds: `data.header` and `data.ciphertext` = nonce, encrypted payload, tag. */
export interface Envelope {
  readonly header: Buffer;
  readonly ciphertext: Buffer;
}

/** @throws EnvelopeError `ERR_ENVELOPE_CONTEXT_INVALID`, `ERR_ENVELOPE_HEADER_TOO_LARGE` */
export function serializeHeader(header: EnvelopeHeader): Buffer {
  return canonicalBytes({ ...unsignedFields(header), mac: header.mac.toString('base64') });
}

/** What the MAC covers: all but the MAC itself. */
export function authenticatedHeader(header: Omit<EnvelopeHeader, 'mac'>): Buffer {
  return canonicalBytes(unsignedFields(header));
}

/** What the payload is bound to. Wrapped keys are left out, so that wrapping anew never touches the payload. */
export function associatedData(header: Pick<EnvelopeHeader, 'context' | 'salt' | 'commitment'>): Buffer {
  return canonicalBytes(payloadFields(header));
}

/** SHA-256 of the canonical context. */
export function contextDigest(context: EnvelopeContext): Buffer {
  return createHash('sha256')
    .update(canonicalBytes(contextFields(context)))
    .digest();
}

/**
 * Reads an untrusted header. That it is authentic is for `openEnvelope` to say.
 * @throws EnvelopeError
 */
export function parseHeader(bytes: Uint8Array): EnvelopeHeader {
  if (bytes.byteLength > envelopeLimits.headerBytesMax) throw new EnvelopeError('ERR_ENVELOPE_HEADER_TOO_LARGE');
  const fields = Fields.of(parseJson(bytes));
  if (fields.raw('v') !== envelopeVersion) throw new EnvelopeError('ERR_ENVELOPE_VERSION_UNKNOWN');
  if (fields.text('suite') !== envelopeSuite) throw new EnvelopeError('ERR_ENVELOPE_SUITE_UNKNOWN');
  fields.only(['v', 'suite', 'ctx', 'salt', 'commit', 'keks', 'created', 'mac']);
  const header: EnvelopeHeader = {
    context: parseContext(fields.raw('ctx')),
    salt: readBase64(fields.text('salt'), { bytes: sealSizes.salt }),
    commitment: readBase64(fields.text('commit'), { bytes: sealSizes.commitment }),
    wrappedSeeds: parseWrappedSeeds(fields.raw('keks')),
    created: parseInstant(fields.text('created')),
    mac: readBase64(fields.text('mac'), { bytes: sealSizes.mac }),
  };
  if (!serializeHeader(header).equals(bytes)) throw new EnvelopeError('ERR_ENVELOPE_HEADER_MALFORMED');
  return header;
}

const slotTimeFields = ['exp', 'det'] as const;
const contextTextFields = ['cluster', 'org', 'ns', 'name', 'iss', 'sub', 'server', 'slot'] as const;

function parseContext(value: unknown): EnvelopeContext {
  const fields = Fields.of(value);
  fields.only([...contextTextFields, 'gen'], slotTimeFields);
  const gen = fields.raw('gen');
  if (typeof gen !== 'number') throw new EnvelopeError('ERR_ENVELOPE_HEADER_MALFORMED');
  return {
    cluster: fields.text('cluster'),
    org: fields.text('org'),
    ns: fields.text('ns'),
    name: fields.text('name'),
    iss: fields.text('iss'),
    sub: fields.text('sub'),
    server: fields.text('server'),
    slot: fields.text('slot'),
    gen,
    ...readSlotTimes(fields, slotTimeFields),
  };
}

function parseWrappedSeeds(value: unknown): readonly WrappedSeed[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > envelopeLimits.keksMax) {
    throw new EnvelopeError('ERR_ENVELOPE_HEADER_MALFORMED');
  }
  const seeds = value.map(parseWrappedSeed);
  if (new Set(seeds.map((seed) => `${seed.provider}\n${seed.kid}`)).size !== seeds.length) {
    throw new EnvelopeError('ERR_ENVELOPE_HEADER_MALFORMED');
  }
  return seeds;
}

function parseWrappedSeed(value: unknown): WrappedSeed {
  const fields = Fields.of(value);
  fields.only(['p', 'kid', 'wk'], ['ann']);
  const annotations = fields.raw('ann');
  return {
    provider: fields.text('p'),
    kid: fields.text('kid'),
    wrapped: readBase64(fields.text('wk'), { bytesMax: envelopeLimits.wrappedKeyBytesMax }),
    ...(annotations !== undefined && { annotations: parseAnnotations(annotations) }),
  };
}

function parseAnnotations(value: unknown): Readonly<Record<string, string>> {
  const fields = Fields.of(value);
  const names = fields.names();
  if (names.length > envelopeLimits.annotationsMax) throw new EnvelopeError('ERR_ENVELOPE_HEADER_MALFORMED');
  return Object.fromEntries(names.map((name) => [name, fields.text(name)]));
}

function parseInstant(text: string): string {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(text) || Number.isNaN(Date.parse(text))) {
    throw new EnvelopeError('ERR_ENVELOPE_HEADER_MALFORMED');
  }
  return text;
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    throw new EnvelopeError('ERR_ENVELOPE_HEADER_MALFORMED');
  }
}

function unsignedFields(header: Omit<EnvelopeHeader, 'mac'>): Record<string, unknown> {
  return {
    ...payloadFields(header),
    keks: header.wrappedSeeds.map((seed) => ({
      p: seed.provider,
      kid: seed.kid,
      wk: seed.wrapped.toString('base64'),
      ...(seed.annotations !== undefined && { ann: seed.annotations }),
    })),
    created: header.created,
  };
}

function payloadFields(header: Pick<EnvelopeHeader, 'context' | 'salt' | 'commitment'>): Record<string, unknown> {
  return {
    v: envelopeVersion,
    suite: envelopeSuite,
    ctx: contextFields(header.context),
    salt: header.salt.toString('base64'),
    commit: header.commitment.toString('base64'),
  };
}

/** A snapshot of exactly the known fields, each within its limit. */
function contextFields(context: EnvelopeContext): EnvelopeContext {
  const { cluster, org, ns, name, iss, sub, server, slot, gen, exp, det } = context;
  const times = { ...(exp !== undefined && { exp }), ...(det !== undefined && { det }) };
  const fields: EnvelopeContext = { cluster, org, ns, name, iss, sub, server, slot, gen, ...times };
  const textsFit = contextTextFields.every((field) => isContextText(field, fields[field]));
  const fits = textsFit && Object.values(times).every((one) => areSlotTimes(one, slot));
  if (!fits || !Number.isSafeInteger(gen) || gen < 1) throw new EnvelopeError('ERR_ENVELOPE_CONTEXT_INVALID');
  return fields;
}

function isContextText(field: (typeof contextTextFields)[number], text: string): boolean {
  const bytesMax = field === 'slot' ? envelopeLimits.slotBytesMax : envelopeLimits.contextTextBytesMax;
  return text !== '' && text.isWellFormed() && Buffer.byteLength(text) <= bytesMax;
}

function canonicalBytes(value: object): Buffer {
  const text = canonicalize(value);
  if (text === undefined) throw new EnvelopeError('ERR_ENVELOPE_HEADER_MALFORMED');
  const bytes = Buffer.from(text);
  if (bytes.byteLength > envelopeLimits.headerBytesMax) throw new EnvelopeError('ERR_ENVELOPE_HEADER_TOO_LARGE');
  return bytes;
}
