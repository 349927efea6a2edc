/**
 * Request headers that a user key may never be put into, because HTTP, the proxy or MCP give them a meaning of their own.
 * Lower case. The McpServer schema refuses the same names (a test compares the two).
 */
export const reservedHeaderNames: readonly string[] = [
  'accept',
  'accept-encoding',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'cookie',
  'date',
  'expect',
  'forwarded',
  'host',
  'http2-settings',
  'keep-alive',
  'last-event-id',
  'origin',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'referer',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'via',
];

/** Name prefixes reserved for the same reason (`mcp-` also covers MCP-Protocol-Version and Mcp-Session-Id). */
export const reservedHeaderPrefixes: readonly string[] = ['mcp-', 'proxy-', 'sec-', 'x-forwarded-', ':'];

/** Client credentials that are always stripped, whatever the server declares (MCP "Token Passthrough" is forbidden). */
export const strippedHeaderNames: readonly string[] = ['authorization', 'cookie', 'proxy-authorization'];

/** Longest value of one header, bytes, template applied. */
export const headerValueBytesMax = 8_192;

/** Whether a user key may not be put into this header, however it is written: to CGI and WSGI servers `_` and `-` are one. */
export function isReservedHeaderName(name: string): boolean {
  const canonical = name.toLowerCase().replaceAll('_', '-');
  return (
    reservedHeaderNames.includes(canonical) || reservedHeaderPrefixes.some((prefix) => canonical.startsWith(prefix))
  );
}
