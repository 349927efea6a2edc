import { ProxyError } from './errors.ts';
import { isChunks, type ProxyResponse } from './exchange.ts';

/** Whether the body is compressed, or coded in another way that hides what is in it. */
export function isCoded({ headers }: Pick<ProxyResponse, 'headers'>): boolean {
  return (headers.get('content-encoding') ?? 'identity').toLowerCase() !== 'identity';
}

/** For a body that has to be read. Servers are asked not to code any. @throws ProxyError when there is one, and it is coded */
export function refuseCoded(response: ProxyResponse): void {
  const { body } = response;
  if (body === undefined || !isCoded(response)) return;
  if (isChunks(body)) body.cancel();
  throw new ProxyError('ResponseEncoded', 'The MCP server encodes its responses although it was asked not to.');
}
