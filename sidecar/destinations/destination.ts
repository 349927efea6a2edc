import { isIP } from 'node:net';
import { ProxyError } from '../proxy/errors.ts';
import { addressKind } from './address-ranges.ts';

/** All addresses of a name, as the operating system's resolver orders them. Rejects when there are none. */
export type Lookup = (hostname: string) => Promise<readonly string[]>;

export interface DestinationOptions {
  /** As `URL` gives it: an IPv6 address stands in brackets. */
  readonly hostname: string;
  readonly allowPrivateAddresses: boolean;
  readonly lookup: Lookup;
  /** Monotonic. */
  readonly nowMs: () => number;
  /** Told of an answer that is refused; the address is for the log only. */
  readonly refused: (address: string) => void;
}

/** How long an answer is used. The resolver does not say how long it may be. */
export const answerMsMax = 30_000;
/** Longest wait for an answer. */
export const lookupMsMax = 5_000;
/** Most addresses of one answer that are tried. */
export const addressesMax = 4;

/**
 * Where one host may be connected to. The connection is made to what was checked here, by address: a name that is looked up a second
 * time may have another answer by then (DNS rebinding).
 */
export class Destination {
  readonly #options: DestinationOptions;
  #answer: { readonly addresses: readonly string[]; readonly untilMs: number } | undefined;
  #asking: Promise<readonly string[]> | undefined;

  constructor(options: DestinationOptions) {
    this.#options = options;
  }

  /** Never empty. @throws ProxyError when there is no answer, or one that may not be used */
  async addresses(): Promise<readonly string[]> {
    if (this.#answer !== undefined && this.#options.nowMs() < this.#answer.untilMs) return this.#answer.addresses;
    this.#asking ??= this.#ask().finally(() => (this.#asking = undefined));
    return this.#asking;
  }

  /** The next request asks again: none of the addresses answered. */
  forget(): void {
    this.#answer = undefined;
  }

  async #ask(): Promise<readonly string[]> {
    const found = await this.#resolve();
    // One address that may not be is enough: an answer that mixes them is made to be tried twice.
    const forbidden = found.find((address) => !this.#mayBe(address));
    if (forbidden !== undefined) {
      this.#options.refused(forbidden);
      throw new ProxyError('DestinationRefused', addressRefusal);
    }
    const addresses = found.slice(0, addressesMax);
    this.#answer = { addresses, untilMs: this.#options.nowMs() + answerMsMax };
    return addresses;
  }

  async #resolve(): Promise<readonly string[]> {
    const bare = this.#options.hostname.replace(/^\[|\]$/g, '');
    if (isIP(bare) !== 0) return [bare];
    try {
      const found = await within(lookupMsMax, this.#options.lookup(bare));
      if (found.length > 0) return found;
    } catch (cause) {
      throw new ProxyError('UpstreamUnavailable', unknownHost, { cause });
    }
    throw new ProxyError('UpstreamUnavailable', unknownHost);
  }

  #mayBe(address: string): boolean {
    const kind = addressKind(address);
    return kind === 'public' || (kind === 'private' && this.#options.allowPrivateAddresses);
  }
}

const unknownHost = 'The host name of the MCP server was not found.';
/** For whoever asked for a server at such an address. */
export const addressRefusal =
  'The host name of the MCP server leads to an address that keys are not sent to. Its administrator can allow private addresses in the McpServer.';

async function within<T>(msMax: number, work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error('the resolver did not answer in time')), msMax);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}
