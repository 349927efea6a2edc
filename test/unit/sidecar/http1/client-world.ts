/** A client's connection with a socket of values: what it sent, what it is told, and how much it takes. */
import { Buffer } from 'node:buffer';
import { Backlog } from '#sidecar/http1/backlog.ts';
import type { Answer } from '#sidecar/http1/client-answer.ts';
import { ClientConnection, type ReceivedRequest } from '#sidecar/http1/client-connection.ts';
import { Fields } from '#sidecar/http1/fields.ts';

export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly body: string;
}

export const times = { idleMsMax: 120_000, headMsMax: 12_000, stallMsMax: 120_000, lingerMsMax: 2_000 };

export interface ClientWorld {
  readonly connection: ClientConnection;
  readonly requests: ReceivedRequest[];
  readonly wire: {
    sent: string;
    writes: number;
    takes: number;
    paused: boolean;
    ended: 'no' | 'shutdown' | 'terminated';
  };
  nowMs: number;
  cuts: number;
  readonly feed: (text: string) => void;
  /** What the kernel did not take is taken now. */
  readonly drain: () => void;
}

export function clientWorld(
  answer: (request: ReceivedRequest) => Promise<Answer> | Answer,
  backlog = new Backlog({ bytesMax: 16_777_216, accountBytesMax: 8_388_608 }),
): ClientWorld {
  const wire: ClientWorld['wire'] = {
    sent: '',
    writes: 0,
    takes: Number.POSITIVE_INFINITY,
    paused: false,
    ended: 'no',
  };
  const requests: ReceivedRequest[] = [];
  const world = { nowMs: 0, cuts: 0 };
  const connection = new ClientConnection(
    {
      backlog,
      answer: async (request) => {
        requests.push(request);
        return answer(request);
      },
      refused: () => {},
      cut: () => void (world.cuts += 1),
      gone: () => {},
      nowMs: () => world.nowMs,
      date: () => 'Wed, 25 Nov 2026 00:00:00 GMT',
    },
    {
      write: (bytes) => {
        wire.writes += 1;
        const taken = Math.min(bytes.byteLength, wire.takes);
        wire.takes -= taken;
        wire.sent += Buffer.from(bytes.subarray(0, taken)).toString('latin1');
        return taken;
      },
      pause: () => void (wire.paused = true),
      resume: () => void (wire.paused = false),
      shutdown: () => void (wire.ended = 'shutdown'),
      terminate: () => void (wire.ended = 'terminated'),
    },
    '127.0.0.1',
  );
  return Object.assign(world, {
    connection,
    requests,
    wire,
    // In memory of its own, as sockets hand bytes over.
    feed: (text: string) => connection.received(Buffer.from(Uint8Array.from(Buffer.from(text, 'latin1')).buffer)),
    drain: () => {
      wire.takes = Number.POSITIVE_INFINITY;
      connection.drained();
    },
  });
}

/** Lets promises that can go on do so. */
export async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

export function ok(body: Answer['body'] = Buffer.from('ok')): Answer {
  return { status: 200, headers: new Fields({ 'x-a': '1' }), body };
}

export async function seen({ head, body }: ReceivedRequest): Promise<Seen> {
  const pieces: Uint8Array[] = [];
  const here = body.here();
  if (here !== undefined) pieces.push(here);
  else {
    const chunks = body.chunks();
    for (let piece = await chunks.read(); piece !== undefined; piece = await chunks.read()) pieces.push(piece);
  }
  const { method, path, query } = head;
  return { method, path: path + query, body: Buffer.concat(pieces).toString('latin1') };
}
