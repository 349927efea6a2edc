import type { BodyBudget, BodyHold } from '../body-budget.ts';
import type { Bounds } from '../bounds-in-force.ts';
import type { Chunks } from '../chunks.ts';
import { bodyTooLarge, lastRequest, ProxyError } from '../errors.ts';
import type { BodySource, BoundedRequest, IdentifiedRequest, Layer } from '../exchange.ts';
import { Pace, type PaceLimits } from '../pace.ts';
import { shareOf } from '../user-shares.ts';

export interface BodyReading {
  readonly pace: PaceLimits;
  readonly bounds: () => Pick<Bounds, 'bodyBytesMax'>;
  readonly budget: BodyBudget;
}

/** Of one body. */
interface BodyLimits {
  readonly pace: PaceLimits;
  readonly bodyBytesMax: number;
}

/** Reads the body once and whole, because policy needs it whole, and never holds more than it may. */
export function readBody({ pace, bounds, budget }: BodyReading): Layer<IdentifiedRequest, BoundedRequest> {
  return (inner) =>
    async function readRequestBody(request) {
      using hold = budget.hold(shareOf(request.record.subject));
      const bytes = await readWhole(request.body, { pace, bodyBytesMax: bounds().bodyBytesMax }, hold);
      request.record.requestBytes = bytes.byteLength;
      // Awaited, so that the body is held until its upstream has answered.
      return await inner({ ...request, bytes });
    };
}

async function readWhole(body: BodySource, limits: BodyLimits, hold: BodyHold): Promise<Uint8Array> {
  try {
    const here = body.here();
    if (here === undefined) return await readChunks(body.chunks(), limits, hold);
    if (here.byteLength > limits.bodyBytesMax) throw bodyTooLarge(limits.bodyBytesMax);
    hold.take(here.byteLength);
    return here;
  } catch (cause) {
    if (cause instanceof ProxyError) throw cause;
    throw new ProxyError('ClientClosed', 'The request body ended early.', { cause });
  }
}

/** Bytes count from when they are here, not from when they are announced: announcing costs a client nothing. */
async function readChunks(body: Chunks, limits: BodyLimits, hold: BodyHold): Promise<Uint8Array> {
  const pace = new Pace(limits.pace, () => body.cancel());
  const chunks: Uint8Array[] = [];
  let total = 0;
  try {
    for (let chunk = await body.read(); chunk !== undefined; chunk = await body.read()) {
      total += chunk.byteLength;
      if (total > limits.bodyBytesMax) throw bodyTooLarge(limits.bodyBytesMax);
      hold.take(chunk.byteLength);
      pace.arrived(chunk.byteLength);
      chunks.push(chunk);
    }
  } catch (error) {
    body.cancel();
    throw error;
  } finally {
    pace.stop();
  }
  if (pace.late) throw tooLate();
  return join(chunks, total);
}

function join(chunks: readonly Uint8Array[], total: number): Uint8Array {
  const [first] = chunks;
  if (first?.byteLength === total) return first;
  const whole = new Uint8Array(total);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.byteLength;
    giveBack(chunk);
  }
  return whole;
}

/** Makes its memory free at once, where nothing else is in it: the collector would come for it much later. */
function giveBack({ buffer, byteLength }: Uint8Array): void {
  if (buffer.byteLength === byteLength && buffer instanceof ArrayBuffer) buffer.transfer(0);
}

function tooLate(): ProxyError {
  return new ProxyError('BodyTimeout', 'The request body did not arrive in time.', { headers: lastRequest });
}
