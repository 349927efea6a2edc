import { ProxyError } from '../errors.ts';
import type { BodySource, BoundedRequest, IncomingRequest, Layer } from '../exchange.ts';

export interface Limits {
  /** Largest body of one request. */
  readonly bodyBytesMax: number;
  /** Most body bytes of all requests that wait for their upstream to answer: what the sidecar's memory can hold. */
  readonly bodiesBytesMax: number;
  /** Longest wait for a whole body. */
  readonly bodyMsMax: number;
}

/** Most header fields of one request. The HTTP parser bounds the bytes of the head (16 KiB). */
export const headerFieldsMax = 100;

/** Reads the body once and whole, because policy needs it whole, and never holds more than it may. */
export function limit(limits: Limits): Layer<IncomingRequest, BoundedRequest> {
  const budget = new BodyBudget(limits.bodiesBytesMax);
  return (inner) =>
    async function limitRequest(request) {
      checkHead(request.headers);
      using hold = budget.hold();
      const bytes = await readBody(request.body, limits, hold);
      request.record.requestBytes = bytes.byteLength;
      // Awaited, so that the body is held until its upstream has answered.
      return await inner({ ...request, bytes });
    };
}

function checkHead(headers: Headers): void {
  let fields = 0;
  headers.forEach(() => (fields += 1));
  if (fields > headerFieldsMax) throw new ProxyError('HeadTooLarge', `More than ${headerFieldsMax} header fields.`);
}

async function readBody(body: BodySource, limits: Limits, hold: BodyHold): Promise<Uint8Array> {
  try {
    return await withDeadline(readBounded(body, limits.bodyBytesMax, hold), limits.bodyMsMax);
  } catch (cause) {
    if (cause instanceof ProxyError) throw cause;
    throw new ProxyError('ClientClosed', 'The request body ended early.', { cause });
  }
}

async function readBounded(body: BodySource, bytesMax: number, hold: BodyHold): Promise<Uint8Array> {
  if (body.declaredBytes === undefined) return readChunks(body.stream(), bytesMax, hold);
  if (body.declaredBytes > bytesMax) throw tooLarge(bytesMax);
  hold.take(body.declaredBytes);
  return body.whole();
}

async function readChunks(
  stream: ReadableStream<Uint8Array> | null,
  bytesMax: number,
  hold: BodyHold,
): Promise<Uint8Array> {
  if (stream === null) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let total = 0;
  for await (const chunk of stream) {
    total += chunk.byteLength;
    if (total > bytesMax) throw tooLarge(bytesMax);
    hold.take(chunk.byteLength);
    chunks.push(chunk);
  }
  return join(chunks, total);
}

function join(chunks: readonly Uint8Array[], total: number): Uint8Array {
  const whole = new Uint8Array(total);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return whole;
}

/** The rest of the body is not worth reading, so the connection cannot be used again. */
const lastRequest = { connection: 'close' };

function tooLarge(bytesMax: number): ProxyError {
  return new ProxyError('BodyTooLarge', `The request body is larger than ${bytesMax} bytes.`, { headers: lastRequest });
}

function withDeadline<T>(work: Promise<T>, msMax: number): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const timer = setTimeout(() => reject(tooLate()), msMax);
  work.then(resolve, reject).finally(() => clearTimeout(timer));
  return promise;
}

function tooLate(): ProxyError {
  return new ProxyError('BodyTimeout', 'The request body did not arrive in time.', { headers: lastRequest });
}

/** Bytes of bodies held by all requests together. */
class BodyBudget {
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  hold(): BodyHold {
    let held = 0;
    return {
      take: (bytes) => {
        if (this.#bytes + bytes > this.#bytesMax) {
          throw new ProxyError('Overloaded', 'Too many large requests at once. Try again in a moment.');
        }
        this.#bytes += bytes;
        held += bytes;
      },
      [Symbol.dispose]: () => {
        this.#bytes -= held;
        held = 0;
      },
    };
  }
}

interface BodyHold extends Disposable {
  take(bytes: number): void;
}
