/** What the proxy knows about MCP methods. A method that is not here is forwarded like any other, and counted as `_OTHER`. */

interface MethodFacts {
  /** Goes on without the user's key when there is none: handshake, discovery and lists must not depend on it. */
  readonly keyless?: true;
  /** Tells what a server offers, and does nothing for a user: may carry a key that is for that alone. */
  readonly discovers?: true;
  /** Changes nothing, or the same when it is done twice: may be sent again when nobody knows whether it arrived. */
  readonly repeatable?: true;
  /** The parameter that the `Mcp-Name` header repeats (revision 2026-07-28, Streamable HTTP). */
  readonly nameParameter?: NameParameter;
  /** Only up to 2025-11-25: no modern request of it is valid, and the upstream is to say so. */
  readonly legacy?: true;
}

export type NameParameter = 'name' | 'uri' | 'taskId';

const methods = {
  initialize: { keyless: true, discovers: true, repeatable: true },
  ping: { keyless: true, discovers: true, repeatable: true },
  'server/discover': { keyless: true, discovers: true, repeatable: true },
  'tools/list': { keyless: true, discovers: true, repeatable: true },
  'tools/call': { nameParameter: 'name' },
  'prompts/list': { keyless: true, discovers: true, repeatable: true },
  'prompts/get': { nameParameter: 'name', repeatable: true },
  'resources/list': { keyless: true, discovers: true, repeatable: true },
  'resources/templates/list': { keyless: true, discovers: true, repeatable: true },
  'resources/read': { nameParameter: 'uri', repeatable: true },
  'resources/subscribe': { nameParameter: 'uri', repeatable: true, legacy: true },
  'resources/unsubscribe': { nameParameter: 'uri', repeatable: true, legacy: true },
  'subscriptions/listen': { keyless: true, repeatable: true },
  'completion/complete': { keyless: true, repeatable: true },
  'logging/setLevel': { repeatable: true },
  'tasks/list': { keyless: true, repeatable: true },
  'tasks/get': { nameParameter: 'taskId', repeatable: true },
  'tasks/result': { nameParameter: 'taskId', repeatable: true, legacy: true },
  'tasks/update': { nameParameter: 'taskId' },
  'tasks/cancel': { nameParameter: 'taskId' },
  'notifications/initialized': { keyless: true, discovers: true },
  'notifications/cancelled': { keyless: true },
  'notifications/progress': { keyless: true },
  'notifications/roots/list_changed': { keyless: true },
} satisfies Record<string, MethodFacts>;

const facts: ReadonlyMap<string, MethodFacts> = new Map(Object.entries(methods));

export const toolCall = 'tools/call';
export const toolList = 'tools/list';
export const taskList = 'tasks/list';

/** What begins a session (revisions up to 2025-11-25). */
export const initialize = 'initialize';

/** By which a client finds out what revisions a server speaks (2026-07-28 and later). */
export const discovery = 'server/discover';

/** Whether a request goes on without the user's key when there is none. */
export function isKeyless(method: string): boolean {
  return facts.get(method)?.keyless === true;
}

/** Whether a message is one of the handshake, or asks for a list of what the server offers. */
export function isDiscovery(method: string): boolean {
  return facts.get(method)?.discovers === true;
}

/** Whether a request may be sent a second time when the first was lost without an answer. A method nobody knows may do anything. */
export function isRepeatable(method: string): boolean {
  return facts.get(method)?.repeatable === true;
}

export function nameParameter(method: string): NameParameter | undefined {
  const known = facts.get(method);
  // Whatever a server has beyond these, as `tasks/delete`, is about the task that it names.
  return known === undefined && method.startsWith('tasks/') ? 'taskId' : known?.nameParameter;
}

/** Whether a modern request of it has the header `Mcp-Name`. */
export function repeatsNameInHeader(method: string): boolean {
  const found = facts.get(method);
  return found?.nameParameter !== undefined && found.legacy !== true;
}

/** Whether a response to it stays open for as long as the client likes. */
export function isSubscription(method: string): boolean {
  return method === 'subscriptions/listen';
}

/** A label with few values, whatever clients send. */
export function methodLabel(method: string): string {
  return facts.has(method) ? method : '_OTHER';
}
