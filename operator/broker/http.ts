import type { IncomingMessage, ServerResponse } from 'node:http';

import { ContractError } from '#contract/fields.ts';
import { contractVersion, contractVersionHeader } from '#contract/version.ts';

import { BrokerError } from './errors.ts';
import type { GrantedBody } from './granted-body.ts';
import { brokerLimits } from './limits.ts';

/** `Authorization: Bearer <token>` (RFC 6750 section 2.1); undefined for anything else. */
export function bearerOf(request: IncomingMessage): string | undefined {
  const { authorization } = request.headers;
  if (authorization === undefined || authorization.length > brokerLimits.podTokenCharsMax) return undefined;
  return /^Bearer ([\x21-\x7e]+)$/i.exec(authorization)?.[1];
}

/** @throws BrokerError ERR_CONTRACT_VERSION */
export function checkContractVersion(request: IncomingMessage): void {
  const said = request.headers[contractVersionHeader];
  const version = typeof said === 'string' && /^\d{1,4}$/.test(said) ? Number(said) : 0;
  if (version < Math.max(1, contractVersion - 2) || version > contractVersion) {
    throw new BrokerError('ERR_CONTRACT_VERSION');
  }
}

/**
 * Reads a whole JSON body and parses it to the contract.
 * @throws BrokerError ERR_MEDIA_TYPE, ERR_BODY_TOO_LARGE, ERR_BODY_INVALID, ERR_CLIENT_GONE
 */
export async function readContract<T>(
  request: IncomingMessage,
  bytesMax: number,
  parse: (value: unknown) => T,
): Promise<T> {
  const mediaType = request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
  if (mediaType !== 'application/json') throw new BrokerError('ERR_MEDIA_TYPE');
  const body = await readBody(request, bytesMax);
  try {
    return parse(JSON.parse(body.toString('utf8')));
  } catch (cause) {
    // The message of a syntax error quotes the body, which holds a credential: it goes no further.
    if (cause instanceof SyntaxError) throw new BrokerError('ERR_BODY_INVALID');
    if (cause instanceof ContractError) throw new BrokerError('ERR_BODY_INVALID', { cause });
    throw cause;
  }
}

/** Not `for await`: leaving that early destroys the connection, and the client would never see why. */
function readBody(request: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > bytesMax) return Promise.reject(new BrokerError('ERR_BODY_TOO_LARGE'));
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const chunks: Buffer[] = [];
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.byteLength;
    if (bytes <= bytesMax) {
      chunks.push(chunk);
      return;
    }
    request.pause();
    reject(new BrokerError('ERR_BODY_TOO_LARGE'));
  });
  request.on('end', () => resolve(Buffer.concat(chunks)));
  request.on('error', (cause) => reject(new BrokerError('ERR_CLIENT_GONE', { cause })));
  request.on('close', () => {
    if (!request.complete) reject(new BrokerError('ERR_CLIENT_GONE'));
  });
  return promise;
}

const jsonHeaders = { 'content-type': 'application/json', 'cache-control': 'no-store' } as const;

export interface JsonAnswer {
  readonly status: number;
  readonly body: object;
  /** The rest of the request is not read. */
  readonly closes?: boolean;
}

export function sendJson(response: ServerResponse, { status, body, closes = false }: JsonAnswer): void {
  const bytes = Buffer.from(JSON.stringify(body), 'utf8');
  const connection = closes ? { connection: 'close' } : {};
  response.writeHead(status, { ...jsonHeaders, ...connection, 'content-length': bytes.byteLength });
  response.end(bytes);
}

/**
 * Sends a lease with its key and zeroes it, whatever happens. The key is written alone, and only after everything before it has
 * left: Node's TLS layer joins writes that wait together in a buffer of its own, which nobody would zero.
 */
export async function sendGranted(response: ServerResponse, body: GrantedBody): Promise<void> {
  using granted = body;
  const lengthBytes = granted.open.byteLength + granted.secret.byteLength;
  response.writeHead(200, { ...jsonHeaders, 'content-length': lengthBytes });
  await write(response, granted.open);
  await write(response, granted.secret.bytes);
  response.end();
}

/** Resolves when `bytes` have left the process. @throws BrokerError ERR_CLIENT_GONE */
function write(response: ServerResponse, bytes: Buffer): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const gone = (): void => reject(new BrokerError('ERR_CLIENT_GONE'));
  const timer = setTimeout(() => response.destroy(), brokerLimits.answerTimeoutMs);
  response.once('close', gone);
  if (response.destroyed) gone();
  else response.write(bytes, (error) => (error === null || error === undefined ? resolve() : gone()));
  return promise.finally(() => {
    clearTimeout(timer);
    response.off('close', gone);
  });
}
