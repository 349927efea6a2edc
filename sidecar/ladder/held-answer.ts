import { Fields } from '../http1/fields.ts';
import type { Chunks } from '../proxy/chunks.ts';
import { isChunks, type ProxyResponse } from '../proxy/exchange.ts';

export interface HoldingOptions {
  readonly commentEveryMs: number;
  /** The answer for whatever is no answer to a request: the client has its status already. */
  readonly unusable: (status: number) => Uint8Array;
  /** Lets go of whatever is waited for. */
  readonly cancel: () => void;
}

/**
 * Answers at once with an event stream that says nothing but comments until the answer is there, and then that: so that neither the
 * client nor anything in between takes a wait for a dead connection.
 */
export function holdOpen(answer: Promise<ProxyResponse>, options: HoldingOptions): ProxyResponse {
  const headers = new Fields({
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache, no-transform',
    'x-accel-buffering': 'no',
  });
  return { status: 200, headers, body: new HeldAnswer(answer, options) };
}

const encoder = new TextEncoder();
const comment = encoder.encode(':\n\n');

class HeldAnswer implements Chunks {
  readonly #options: HoldingOptions;
  readonly #events: Promise<Chunks>;
  #source: Chunks | undefined;
  #isBegun = false;
  #isCancelled = false;

  constructor(answer: Promise<ProxyResponse>, options: HoldingOptions) {
    this.#options = options;
    this.#events = answer.then((response) => eventsOf(response, options.unusable));
    // Handled where it is awaited.
    this.#events.catch(() => {});
  }

  async read(): Promise<Uint8Array | undefined> {
    if (this.#isCancelled) return undefined;
    if (this.#source !== undefined) return this.#source.read();
    if (!this.#isBegun) {
      this.#isBegun = true;
      return comment;
    }
    const events = await within(this.#events, this.#options.commentEveryMs);
    if (events === undefined) return this.#isCancelled ? undefined : comment;
    this.#source = events;
    return events.read();
  }

  cancel(): void {
    this.#isCancelled = true;
    this.#options.cancel();
    this.#events.then(
      (events) => events.cancel(),
      () => {},
    );
  }
}

async function within<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** An event stream goes on as it is; a JSON answer becomes one event. */
function eventsOf({ status, headers, body }: ProxyResponse, unusable: HoldingOptions['unusable']): Chunks {
  const mediaType = (headers.get('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase();
  if (isChunks(body) && mediaType === 'text/event-stream' && status === 200) return body;
  if (body !== undefined && mediaType === 'application/json' && isReadable(headers)) return oneEvent(chunksIn(body));
  if (isChunks(body)) body.cancel();
  return oneEvent(chunksIn(unusable(status)));
}

function isReadable(headers: Fields): boolean {
  return (headers.get('content-encoding') ?? 'identity') === 'identity';
}

function chunksIn(body: Uint8Array | Chunks): Chunks {
  if (isChunks(body)) return body;
  let whole: Uint8Array | undefined = body;
  return {
    read: () => {
      const chunk = whole;
      whole = undefined;
      return Promise.resolve(chunk);
    },
    cancel: () => (whole = undefined),
  };
}

const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const nextLine = encoder.encode('\ndata: ');

/** `data` lines are put together with line feeds again (HTML standard, "Interpreting an event stream"), which JSON does not mind. */
function oneEvent(json: Chunks): Chunks {
  let phase: 'begin' | 'data' | 'over' = 'begin';
  return {
    async read() {
      if (phase === 'over') return undefined;
      if (phase === 'begin') {
        phase = 'data';
        return encoder.encode('event: message\ndata: ');
      }
      const chunk = await json.read();
      if (chunk !== undefined) return withDataLines(chunk);
      phase = 'over';
      return encoder.encode('\n\n');
    },
    cancel: () => json.cancel(),
  };
}

function withDataLines(chunk: Uint8Array): Uint8Array {
  if (!chunk.includes(lineFeed) && !chunk.includes(carriageReturn)) return chunk;
  const bytes: number[] = [];
  for (const byte of chunk) {
    if (byte === lineFeed) bytes.push(...nextLine);
    // Alone it would end a line too; between JSON tokens it is blank space.
    else if (byte !== carriageReturn) bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}
