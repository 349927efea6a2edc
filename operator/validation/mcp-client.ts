import { operatorVersion } from '../version.ts';
import { type KeyField, type Network, type ProbePlace, sendChecked } from './checked-request.ts';
import { hasRpcAnswer, type RpcAnswer, rpcAnswerIn } from './mcp-message.ts';

/** Where the MCP endpoint is, and with what it is reached. */
export interface McpEndpoint {
  readonly place: ProbePlace;
  readonly url: URL;
  readonly keys: readonly KeyField[];
  /** Of a server in the cluster: what its sidecar knows the caller by. */
  readonly credential?: string;
}

/** An HTTP answer to one JSON-RPC request. */
export interface RpcExchange {
  readonly status: number;
  readonly answer: RpcAnswer | undefined;
}

type Params = Readonly<Record<string, unknown>>;

const modernRevision = '2026-07-28';
const legacyRevision = '2025-11-25';
const clientInfo = { name: 'mcp-keyring-probe', version: operatorVersion };
const sessionIdPattern = /^[\x21-\x7e]{1,512}$/u;

/** How a connection speaks: without a handshake, or in the session that `initialize` began. */
type Era =
  | { readonly kind: 'modern' }
  | { readonly kind: 'legacy'; readonly revision: string; readonly sessionId: string | undefined };

/** As little of an MCP client as calling one tool takes, in both eras. */
export class McpClient {
  readonly #endpoint: McpEndpoint;
  readonly #network: Network;
  #era: Era = { kind: 'modern' };
  #id = 0;

  constructor(endpoint: McpEndpoint, network: Network) {
    this.#endpoint = endpoint;
    this.#network = network;
  }

  /** Goes on in the legacy era. Resolves the answer to `initialize`. @throws ProbeFailure */
  async beginSession(): Promise<RpcExchange> {
    this.#era = { kind: 'legacy', revision: legacyRevision, sessionId: undefined };
    const params = { protocolVersion: legacyRevision, capabilities: {}, clientInfo };
    const { exchange, sessionId } = await this.#send('initialize', params, {});
    if (exchange.answer?.kind !== 'result') return exchange;
    const agreed = exchange.answer.result['protocolVersion'];
    this.#era = { kind: 'legacy', revision: typeof agreed === 'string' ? agreed : legacyRevision, sessionId };
    await this.#post({ jsonrpc: '2.0', method: 'notifications/initialized' }, this.#eraHeaders('', undefined));
    return exchange;
  }

  /** @throws ProbeFailure */
  async request(method: string, params: Params, headers: Readonly<Record<string, string>> = {}): Promise<RpcExchange> {
    const sent = this.#era.kind === 'modern' ? { ...params, _meta: modernMeta } : params;
    return (await this.#send(method, sent, headers)).exchange;
  }

  /** Never rejects: the server ends the session by itself in the end. */
  async endSession(): Promise<void> {
    if (this.#era.kind !== 'legacy' || this.#era.sessionId === undefined) return;
    const { place, url, keys } = this.#endpoint;
    const headers = { ...this.#credential(), ...this.#eraHeaders('', undefined) };
    await sendChecked({ place, url, keys, method: 'DELETE', headers }, this.#network).catch(() => undefined);
  }

  async #send(method: string, params: Params, headers: Readonly<Record<string, string>>) {
    const id = (this.#id += 1);
    const name = typeof params['name'] === 'string' ? params['name'] : undefined;
    const answered = await this.#post(
      { jsonrpc: '2.0', id, method, params },
      { ...this.#eraHeaders(method, name), ...headers },
      id,
    );
    const sessionId = answered.headers['mcp-session-id'];
    const isUsable = typeof sessionId === 'string' && sessionIdPattern.test(sessionId);
    const exchange: RpcExchange = { status: answered.status, answer: rpcAnswerIn(answered, id) };
    return { exchange, sessionId: isUsable ? sessionId : undefined };
  }

  #post(message: object, headers: Readonly<Record<string, string>>, id?: number) {
    const { place, url, keys } = this.#endpoint;
    return sendChecked(
      {
        place,
        url,
        keys,
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          ...this.#credential(),
          ...headers,
        },
        body: JSON.stringify(message),
        ...(id !== undefined && { isEnough: (text: string) => hasRpcAnswer(text, id) }),
      },
      this.#network,
    );
  }

  #credential(): Readonly<Record<string, string>> {
    const { credential } = this.#endpoint;
    return credential === undefined ? {} : { authorization: `Bearer ${credential}` };
  }

  #eraHeaders(method: string, name: string | undefined): Readonly<Record<string, string>> {
    const era = this.#era;
    if (era.kind === 'legacy') {
      const session = era.sessionId === undefined ? {} : { 'mcp-session-id': era.sessionId };
      return method === 'initialize' ? {} : { 'mcp-protocol-version': era.revision, ...session };
    }
    const named = method === 'tools/call' && name !== undefined ? { 'mcp-name': headerText(name) } : {};
    return { 'mcp-protocol-version': modernRevision, 'mcp-method': method, ...named };
  }
}

const modernMeta = {
  'io.modelcontextprotocol/protocolVersion': modernRevision,
  'io.modelcontextprotocol/clientCapabilities': {},
  'io.modelcontextprotocol/clientInfo': clientInfo,
};

/** Revision 2026-07-28, "Value Encoding": what is not plain ASCII goes as base64. */
export function headerText(text: string): string {
  const isPlain = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/u.test(text) && !text.startsWith('=?base64?');
  return isPlain ? text : `=?base64?${Buffer.from(text).toString('base64')}?=`;
}
