/**
 * Request headers that a user key may never be put into, because HTTP, the proxy or MCP give them a meaning of their own,
 * or a server lets them override the method, the path or the user. What clients send in them is another matter: see `strip`.
 * Lower case. The McpServer schema refuses the same names (a test compares the two).
 */
export const reservedHeaderNames: readonly string[] = [
  'accept',
  'accept-encoding',
  'alt-svc',
  'baggage',
  'cache-control',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'cookie',
  'date',
  'early-data',
  'expect',
  'forwarded',
  'host',
  'http2-settings',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'keep-alive',
  'last-event-id',
  'max-forwards',
  'origin',
  'pragma',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'range',
  'referer',
  'set-cookie',
  'te',
  'traceparent',
  'tracestate',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'upgrade-insecure-requests',
  'user-agent',
  'via',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-original-host',
  'x-original-url',
  'x-rewrite-url',
];

/** Name prefixes reserved for the same reason (`mcp-` also covers MCP-Protocol-Version and Mcp-Session-Id). */
export const reservedHeaderPrefixes: readonly string[] = [
  'access-control-',
  'content-',
  'impersonate-',
  'mcp-',
  'proxy-',
  'sec-',
  'x-forwarded-',
  ':',
];

/** Client credentials that are always stripped, whatever the server declares (MCP "Token Passthrough" is forbidden). */
export const strippedHeaderNames: readonly string[] = ['authorization', 'cookie', 'proxy-authorization'];

/**
 * In these, front proxies and login gateways tell a server who the user is. What a client sends in them is stripped: the sidecar
 * is the front proxy here, and says nothing in them. A user key may be put into one that is not reserved, where the server declares it.
 */
export const identityHeaderNames: readonly string[] = [
  'remote-email',
  'remote-group',
  'remote-groups',
  'remote-name',
  'remote-user',
  'x-forwarded-access-token',
  'x-forwarded-client-cert',
  'x-forwarded-email',
  'x-forwarded-groups',
  'x-forwarded-preferred-username',
  'x-forwarded-user',
  'x-goog-iap-jwt-assertion',
  'x-remote-group',
  'x-remote-groups',
  'x-remote-user',
];

export const identityHeaderPrefixes: readonly string[] = [
  'cf-access-',
  'impersonate-',
  'tailscale-user-',
  'x-amzn-oidc-',
  'x-auth-request-',
  'x-authenticated-',
  'x-consumer-',
  'x-goog-authenticated-user-',
  'x-ms-client-principal',
  'x-ms-token-',
  'x-remote-extra-',
  'x-webauth-',
];

/** Longest value of one header, bytes, template applied. */
export const headerValueBytesMax = 8_192;

/** Whether a user key may not be put into this header, however it is written. */
export function isReservedHeaderName(name: string): boolean {
  return matches(canonicalHeaderName(name), reservedHeaderNames, reservedHeaderPrefixes);
}

/** Whether a server could take what is in it for who the user is, however it is written. */
export function isIdentityHeaderName(name: string): boolean {
  return matches(canonicalHeaderName(name), identityHeaderNames, identityHeaderPrefixes);
}

/** CGI and WSGI servers read `X_Api_Key` and `X-Api-Key` as one variable: whichever comes last would win. */
export function canonicalHeaderName(name: string): string {
  const lowered = name.toLowerCase();
  return lowered.includes('_') ? lowered.replaceAll('_', '-') : lowered;
}

function matches(canonical: string, names: readonly string[], prefixes: readonly string[]): boolean {
  return names.includes(canonical) || prefixes.some((prefix) => canonical.startsWith(prefix));
}
