/** What the proxy knows about MCP methods. A method that is not here is forwarded like any other, and counted as `_OTHER`. */

interface MethodFacts {
  /** Goes on without the user's key when there is none: handshake, discovery and lists must not depend on it. */
  readonly keyless?: true;
  /** The parameter that the `Mcp-Name` header repeats (revision 2026-07-28, Streamable HTTP). */
  readonly nameParameter?: 'name' | 'uri' | 'taskId';
}

const methods = {
  initialize: { keyless: true },
  ping: { keyless: true },
  'server/discover': { keyless: true },
  'tools/list': { keyless: true },
  'tools/call': { nameParameter: 'name' },
  'prompts/list': { keyless: true },
  'prompts/get': { nameParameter: 'name' },
  'resources/list': { keyless: true },
  'resources/templates/list': { keyless: true },
  'resources/read': { nameParameter: 'uri' },
  'resources/subscribe': {},
  'resources/unsubscribe': {},
  'subscriptions/listen': { keyless: true },
  'completion/complete': { keyless: true },
  'logging/setLevel': {},
  'tasks/list': { keyless: true },
  'tasks/get': { nameParameter: 'taskId' },
  'tasks/result': { nameParameter: 'taskId' },
  'tasks/update': { nameParameter: 'taskId' },
  'tasks/cancel': { nameParameter: 'taskId' },
  'notifications/initialized': { keyless: true },
  'notifications/cancelled': { keyless: true },
  'notifications/progress': { keyless: true },
  'notifications/roots/list_changed': { keyless: true },
} satisfies Record<string, MethodFacts>;

const facts: ReadonlyMap<string, MethodFacts> = new Map(Object.entries(methods));

export const toolCall = 'tools/call';

/** What begins a session (revisions up to 2025-11-25). */
export const initialize = 'initialize';

/** Whether a request goes on without the user's key when there is none. */
export function isKeyless(method: string): boolean {
  return facts.get(method)?.keyless === true;
}

export function nameParameter(method: string): 'name' | 'uri' | 'taskId' | undefined {
  return facts.get(method)?.nameParameter;
}

/** Whether a response to it stays open for as long as the client likes. */
export function isSubscription(method: string): boolean {
  return method === 'subscriptions/listen';
}

/** A label with few values, whatever clients send. */
export function methodLabel(method: string): string {
  return facts.has(method) ? method : '_OTHER';
}
