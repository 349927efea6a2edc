import { randomBytes } from 'node:crypto';
import { type IncomingMessage, request as httpRequest } from 'node:http';
import { connect, isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as tlsConnect } from 'node:tls';

import { addressKind } from '#sidecar/destinations/address-ranges.ts';
import type { SplitTemplate } from '#operator/broker/header-bytes.ts';
import type { SecretBytes } from '#operator/envelope/secret-bytes.ts';

import { KeyInserter } from './key-inserter.ts';
import type { FailureReason } from './verdict.ts';

/** Where a probe goes. */
export type ProbePlace =
  /** The Service of a server of this cluster, where its sidecar answers. Nothing is sent there but a sealed credential. */
  | { readonly kind: 'cluster' }
  | { readonly kind: 'outside'; readonly ca?: string; readonly allowPrivateAddresses: boolean };

/** One header of the key that is tried. `value` stays the property of who gave it. */
export interface KeyField {
  readonly name: string;
  readonly template: SplitTemplate;
  readonly value: SecretBytes;
}

export interface ProbeRequest {
  readonly place: ProbePlace;
  readonly url: URL;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Only for a place outside. */
  readonly keys: readonly KeyField[];
  readonly body?: string;
  /** Whether what has come is all that is needed: a stream may stay open. */
  readonly isEnough?: (text: string) => boolean;
}

export interface ProbeAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  /** May hold the key, if the upstream sends it back: never goes anywhere. */
  readonly text: string;
}

/** All addresses of a name. */
export type Lookup = (hostname: string) => Promise<readonly string[]>;

export interface Network {
  readonly lookup: Lookup;
  readonly signal: AbortSignal;
}

export const answerBytesMax = 262_144;

/** No answer that says anything of a key. */
export class ProbeFailure extends Error {
  readonly reason: FailureReason;

  constructor(reason: FailureReason, options?: ErrorOptions) {
    super(`a probe had no answer: ${reason}`, options);
    this.name = 'ProbeFailure';
    this.reason = reason;
  }
}

/**
 * Sends one request to a checked address, over verified TLS where a key goes along. No redirect is followed.
 * @throws ProbeFailure
 */
export async function sendChecked(request: ProbeRequest, network: Network): Promise<ProbeAnswer> {
  if (request.place.kind === 'cluster' && request.keys.length > 0) throw new Error('a key goes over TLS only');
  try {
    const address = await checkedAddress(request, network);
    return await exchange(request, socketTo(request, address), network.signal);
  } catch (error) {
    throw error instanceof ProbeFailure ? error : new ProbeFailure(reasonOf(error, network.signal), { cause: error });
  }
}

/** The name is looked up once, here: the connection is made to what was judged (DNS rebinding). */
async function checkedAddress({ url, place }: ProbeRequest, network: Network): Promise<string> {
  const bare = url.hostname.replace(/^\[|\]$/gu, '');
  const found = isIP(bare) === 0 ? await untilAborted(network.signal, network.lookup(bare)) : [bare];
  const [address] = found;
  if (address === undefined) throw new ProbeFailure('Unreachable');
  if (place.kind === 'cluster') return address;
  const mayBe = (one: string): boolean => {
    const kind = addressKind(one);
    return kind === 'public' || (kind === 'private' && place.allowPrivateAddresses);
  };
  if (!found.every(mayBe)) throw new ProbeFailure('AddressRefused');
  return address;
}

/** A resolver cannot be told to stop; nobody waits for it any longer. */
async function untilAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(new ProbeFailure('TimedOut'));
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function socketTo({ url, place }: ProbeRequest, address: string): Duplex {
  if (place.kind === 'cluster') return connect({ host: address, port: Number(url.port || 80) });
  const bare = url.hostname.replace(/^\[|\]$/gu, '');
  return tlsConnect({
    host: address,
    port: Number(url.port || 443),
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['http/1.1'],
    ...(isIP(bare) === 0 && { servername: bare }),
    ...(place.ca !== undefined && { ca: place.ca }),
  });
}

function exchange(asked: ProbeRequest, socket: Duplex, signal: AbortSignal): Promise<ProbeAnswer> {
  const insertions = asked.keys.map(({ name, template, value }) => ({
    name,
    marker: randomBytes(18).toString('base64url'),
    parts: [template.before, value.bytes, template.after],
  }));
  const keys = Object.fromEntries(insertions.map(({ name, marker }) => [name, marker]));
  const readyOn = asked.place.kind === 'cluster' ? 'connect' : 'secureConnect';
  const connection = new KeyInserter(socket, insertions, readyOn);
  return new Promise((resolve, reject) => {
    const sent = httpRequest({
      createConnection: () => connection,
      method: asked.method,
      path: `${asked.url.pathname}${asked.url.search}`,
      headers: { host: asked.url.host, ...standing, ...asked.headers, ...lengthOf(asked), ...keys },
      signal,
    });
    sent.on('error', reject);
    sent.on('response', (response) => {
      read(response, asked)
        .then(resolve, reject)
        .finally(() => connection.destroy());
    });
    sent.end(asked.body);
  });
}

const standing = { 'user-agent': 'mcp-keyring', 'accept-encoding': 'identity', connection: 'close' };

function lengthOf({ method, body }: ProbeRequest): Record<string, string> {
  if (body === undefined && method !== 'POST') return {};
  return { 'content-length': String(Buffer.byteLength(body ?? '')) };
}

async function read(response: IncomingMessage, { isEnough }: ProbeRequest): Promise<ProbeAnswer> {
  const chunks: Buffer[] = [];
  let lengthBytes = 0;
  const text = (): string => Buffer.concat(chunks).toString('utf8');
  for await (const chunk of response as AsyncIterable<Buffer>) {
    lengthBytes += chunk.byteLength;
    if (lengthBytes > answerBytesMax) throw new ProbeFailure('AnswerTooLarge');
    chunks.push(chunk);
    if (isEnough?.(text()) === true) break;
  }
  return { status: response.statusCode ?? 0, headers: response.headers, text: text() };
}

function reasonOf(error: unknown, signal: AbortSignal): FailureReason {
  if (signal.aborted) return 'TimedOut';
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (/^(?:ERR_TLS|ERR_SSL|CERT_|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED|EPROTO)/u.test(code)) return 'TlsFailed';
  return code.startsWith('HPE_') ? 'AnswerUnreadable' : 'Unreachable';
}
