import { createHash } from 'node:crypto';

import type { TrustedIssuer } from '#operator/identity/identification.ts';

export type OidcIssuer = Extract<TrustedIssuer, { type: 'OIDC' }>;

/** What asking an issuer gave. `message` never quotes what the issuer said. */
export type ProbeResult =
  | { readonly kind: 'reachable' }
  | { readonly kind: 'unreachable'; readonly reason: 'DiscoveryFailed' | 'IssuerMismatch'; readonly message: string };

/** What is known of an issuer now. */
export interface Probe {
  /** Of the last completed probe. */
  readonly result: ProbeResult | undefined;
  /** When to ask (again); 0: now. Undefined while it is being asked. */
  readonly dueInMs: number | undefined;
}

/** A reachable issuer is asked again this much later. */
export const probeIntervalMs = 300_000;
const retryMsMin = 5_000;
const issuersMax = 256;

export interface IssuerProberOptions {
  /** Bounded in time; never rejects. */
  readonly ask: (issuer: OidcIssuer) => Promise<ProbeResult>;
  /** Monotonic. */
  readonly nowMs: () => number;
  /** Called with the URL after each probe. */
  readonly onResult: (issuerURL: string) => void;
}

interface Entry {
  result: ProbeResult | undefined;
  dueAtMs: number;
  failures: number;
  running: boolean;
}

/** Remembers what issuers answered, and when each is to be asked again. Asking goes on beside the reconciles. */
export class IssuerProber {
  readonly #options: IssuerProberOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #running = new Set<Promise<void>>();
  #closed = false;

  constructor(options: IssuerProberOptions) {
    this.#options = options;
  }

  known(issuer: OidcIssuer): Probe {
    const entry = this.#entries.get(keyOf(issuer));
    if (entry === undefined) return { result: undefined, dueInMs: 0 };
    const dueInMs = entry.running ? undefined : Math.max(0, entry.dueAtMs - this.#options.nowMs());
    return { result: entry.result, dueInMs };
  }

  /** Starts asking and returns; a second call while it is being asked does nothing. */
  start(issuer: OidcIssuer): void {
    const entry = this.#entries.get(keyOf(issuer)) ?? { result: undefined, dueAtMs: 0, failures: 0, running: false };
    if (entry.running || this.#closed) return;
    entry.running = true;
    this.#remember(keyOf(issuer), entry);
    const run = this.#ask(issuer, entry).finally(() => this.#running.delete(run));
    this.#running.add(run);
  }

  /** Waits for what runs; each question is bounded by its own time limit. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#running);
  }

  async #ask(issuer: OidcIssuer, entry: Entry): Promise<void> {
    const { ask, nowMs, onResult } = this.#options;
    entry.result = await ask(issuer);
    entry.failures = entry.result.kind === 'reachable' ? 0 : entry.failures + 1;
    entry.dueAtMs = nowMs() + delayAfter(entry.failures);
    entry.running = false;
    if (!this.#closed) onResult(issuer.issuerURL);
  }

  /** The least recently asked one is forgotten first. */
  #remember(key: string, entry: Entry): void {
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= issuersMax) return;
      this.#entries.delete(oldest);
    }
  }
}

function delayAfter(failures: number): number {
  return failures === 0 ? probeIntervalMs : Math.min(probeIntervalMs, retryMsMin * 2 ** (failures - 1));
}

/** URL and CA: another bundle is another question. */
function keyOf({ issuerURL, caBundle }: OidcIssuer): string {
  return createHash('sha256')
    .update(`${issuerURL}\n${caBundle ?? ''}`)
    .digest('hex');
}
