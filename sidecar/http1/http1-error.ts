/** Everything that can go wrong on a connection, to the MCP server or from a client. */
export type Http1ErrorCode =
  | 'ConnectFailed'
  | 'ConnectTimeout'
  /** The forward proxy on the way to the server does not let through. */
  | 'ProxyFailed'
  /** No complete head in time. */
  | 'AnswerTimeout'
  /** The server speaks another protocol, which is HTTP/2. */
  | 'OtherProtocol'
  /** The connection ended before the answer did. */
  | 'BrokenOff'
  /** What came is not HTTP/1.1, or can be read in two ways. */
  | 'Malformed'
  | 'HeadTooLong'
  | 'TooManyConnections'
  /** The client has gone. */
  | 'Cancelled';

/** `message` holds nothing that came over the wire: answers may repeat keys. */
export class Http1Error extends Error {
  readonly code: Http1ErrorCode;

  constructor(code: Http1ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'Http1Error';
    this.code = code;
  }
}

export function otherProtocol(cause?: Error | null): Http1Error {
  return new Http1Error('OtherProtocol', 'the server speaks HTTP/2 and not HTTP/1.1', { cause: cause ?? undefined });
}

export function malformed(message: string): Http1Error {
  return new Http1Error('Malformed', message);
}
