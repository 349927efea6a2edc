import type { ProbeAnswer } from './checked-request.ts';

/** The answer to one JSON-RPC request, as far as a probe reads it. */
export type RpcAnswer =
  | { readonly kind: 'result'; readonly result: Readonly<Record<string, unknown>> }
  | { readonly kind: 'error'; readonly code: number };

/** The answer with this id, of a JSON body or an event stream; undefined when there is none. */
export function rpcAnswerIn(
  { headers, text }: Pick<ProbeAnswer, 'headers' | 'text'>,
  id: number,
): RpcAnswer | undefined {
  const isStream = headers['content-type']?.startsWith('text/event-stream') === true;
  for (const json of isStream ? eventData(text) : [text]) {
    const answer = asAnswer(json, id);
    if (answer !== undefined) return answer;
  }
  return undefined;
}

/** Whether an event stream has brought the answer: it need not end then. */
export function hasRpcAnswer(text: string, id: number): boolean {
  return eventData(text).some((json) => asAnswer(json, id) !== undefined);
}

/** Data of whole events (WHATWG HTML, "Parsing an event stream"). */
function eventData(text: string): readonly string[] {
  const events = text.split(/(?:\r\n|\r|\n){2}/u).slice(0, -1);
  return events.flatMap((event) => {
    const lines = event.split(/\r\n|\r|\n/u).flatMap((line) => (line.startsWith('data:') ? [line.slice(5)] : []));
    return lines.length === 0 ? [] : [lines.join('\n')];
  });
}

function asAnswer(json: string, id: number): RpcAnswer | undefined {
  const value = parse(json);
  if (value?.['id'] !== id) return undefined;
  const result = asObject(value['result']);
  if (result !== undefined) return { kind: 'result', result };
  const code = asObject(value['error'])?.['code'];
  return typeof code === 'number' ? { kind: 'error', code } : undefined;
}

function parse(json: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return asObject(JSON.parse(json));
  } catch {
    return undefined;
  }
}

/** Undefined for what is no JSON object. */
export function asObject(value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return Object.fromEntries(Object.entries(value));
}
