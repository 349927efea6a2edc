/** A client that sends bytes and reads bytes. One connection for each request. */
import { connect } from 'node:net';
import { HttpReader, type RawMessage, whole } from './http-reader.ts';

export interface RawCall {
  readonly method?: string;
  readonly target?: string;
  readonly fields: RawMessage['fields'];
  readonly body?: Buffer;
}

export interface RawResponse extends RawMessage {
  readonly status: number;
  /** In the pieces in which it came. */
  readonly pieces: AsyncGenerator<Buffer>;
  close(): void;
}

export async function open(port: number, call: RawCall): Promise<RawResponse> {
  const { method = 'POST', target = '/mcp', fields, body = Buffer.alloc(0) } = call;
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  const reader = new HttpReader(socket);
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  const length = method === 'POST' ? `Content-Length: ${body.byteLength}\r\n` : '';
  const head = `${method} ${target} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${length}${lines}\r\n`;
  socket.write(Buffer.concat([Buffer.from(head, 'latin1'), body]));
  const answer = await reader.head();
  if (answer === undefined) throw new Error('the connection ended without an answer');
  return {
    ...answer,
    status: Number(answer.start.split(' ')[1]),
    pieces: reader.body(answer),
    close: () => reader.close(),
  };
}

export async function exchange(port: number, call: RawCall): Promise<RawResponse & { readonly body: Buffer }> {
  const response = await open(port, call);
  const body = await whole(response.pieces);
  response.close();
  return { ...response, body };
}
