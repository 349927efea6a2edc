import { contractVersion, contractVersionHeader } from '../contract/version.ts';
import type { FileSource } from './file-source.ts';
import { LeaseError, type LeaseErrorCode } from './lease-error.ts';

/** HTTPS to the broker: its address and its CA are fixed behind this. `path` begins with `/`. */
export type BrokerFetch = (path: string, init: BrokerRequestInit) => Promise<Response>;

export interface BrokerRequestInit {
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
}

export interface BrokerCall {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** Body of a POST. */
  readonly json?: string;
  readonly signal: AbortSignal;
}

/** Shows the broker who this pod is, on every call. */
export class BrokerClient {
  readonly #fetch: BrokerFetch;
  readonly #token: FileSource;

  constructor(fetchBroker: BrokerFetch, token: FileSource) {
    this.#fetch = fetchBroker;
    this.#token = token;
  }

  /** @throws LeaseError for anything but a 200 */
  async call(call: BrokerCall): Promise<Response> {
    const response = await this.#send(call);
    if (response.status === 200) return response;
    await response.body?.cancel();
    // The kubelet may have renewed the token since it was read.
    if (response.status === 401) this.#token.expire();
    throw new LeaseError(codeOf(response.status), `the broker answered ${response.status}`);
  }

  async #send({ method, path, json, signal }: BrokerCall): Promise<Response> {
    try {
      const headers = {
        authorization: `Bearer ${await this.#token.read()}`,
        accept: 'application/json',
        'content-type': 'application/json',
        [contractVersionHeader]: String(contractVersion),
      };
      const content = json === undefined ? {} : { body: json };
      return await this.#fetch(path, { method, headers, signal, ...content });
    } catch (cause) {
      throw new LeaseError('BrokerUnavailable', 'the broker cannot be reached', { cause });
    }
  }
}

function codeOf(status: number): LeaseErrorCode {
  if (status === 401 || status === 403) return 'PodRefused';
  if (status === 404) return 'ServerNotFound';
  return status >= 400 && status < 500 ? 'RequestRefused' : 'BrokerUnavailable';
}

/** @throws LeaseError when the body is longer than `bytesMax` or not JSON */
export async function readJson(response: Response, bytesMax: number): Promise<unknown> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let text = '';
  let bytes = 0;
  try {
    for await (const chunk of response.body ?? []) {
      bytes += chunk.byteLength;
      if (bytes > bytesMax) break;
      text += decoder.decode(chunk, { stream: true });
    }
    if (bytes <= bytesMax) return JSON.parse(text + decoder.decode());
  } catch {
    // The cause may quote what it could not read, which may hold keys.
    throw new LeaseError('BrokerUnavailable', 'the answer of the broker cannot be read');
  }
  throw new LeaseError('BrokerUnavailable', `the answer of the broker is longer than ${bytesMax} bytes`);
}
