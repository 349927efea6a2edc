import type { ServerResponse } from 'node:http';

import type { ServerRef } from '#contract/lease.ts';
import type { WatchMessage } from '#contract/watch.ts';
import type { PodRole } from '#operator/identity/pod-roles.ts';

import { brokerLimits } from './limits.ts';
import type { StreamEnd } from './metrics.ts';

export interface WatchStreamOptions {
  readonly response: ServerResponse;
  readonly server: ServerRef;
  readonly role: PodRole;
  readonly podUid: string;
  /** Monotonic time at which the stream has to be opened anew. */
  readonly endsAtMs: number;
  /** Called once. */
  readonly onEnd: (stream: WatchStream, why: StreamEnd) => void;
}

export function encodeWatch(message: WatchMessage): string {
  return `${JSON.stringify(message)}\n`;
}

/** One sidecar that listens. What waits for a slow reader is bounded; who cannot keep up is cut and comes back. */
export class WatchStream {
  readonly server: ServerRef;
  readonly role: PodRole;
  readonly podUid: string;
  readonly endsAtMs: number;
  readonly #response: ServerResponse;
  readonly #onEnd: WatchStreamOptions['onEnd'];
  #ended = false;

  constructor(options: WatchStreamOptions) {
    this.server = options.server;
    this.role = options.role;
    this.podUid = options.podUid;
    this.endsAtMs = options.endsAtMs;
    this.#response = options.response;
    this.#onEnd = options.onEnd;
    this.#response.on('close', () => this.#finish('clientGone'));
    this.#response.on('error', () => this.#finish('clientGone'));
  }

  /** Takes a line of `encodeWatch`, so that one for many streams is made once. */
  send(line: string): void {
    if (this.#ended) return;
    this.#response.write(line);
    if (this.#response.writableLength <= brokerLimits.streamBacklogBytesMax) return;
    this.#finish('slow');
    this.#response.destroy();
  }

  /** Ends it after what was sent; the sidecar may open another. */
  end(why: StreamEnd): void {
    if (this.#ended) return;
    this.#finish(why);
    this.#response.end();
  }

  #finish(why: StreamEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#onEnd(this, why);
  }
}
