import { Buffer } from 'node:buffer';
import { hash } from 'node:crypto';
import { isJsonObject, type JsonObject } from '../contract/fields.ts';
import { canonicalJson } from '../mcp/canonical-json.ts';
import { removeMember, setMember } from '../mcp/json-edit.ts';
import type { RequestStateSealer, Theirs } from './request-state.ts';

/** The body of a request, looked at once more for what only a client that is asked for its key sends. The body was accepted already. */

const decoder = new TextDecoder();
const encoder = new TextEncoder();

export function paramsOf(bytes: Uint8Array): JsonObject {
  const body: unknown = JSON.parse(decoder.decode(bytes));
  const params = isJsonObject(body) ? body['params'] : undefined;
  return isJsonObject(params) ? params : {};
}

/** Name of `clientInfo`, of `initialize` or of a modern request. */
export function clientNameOf(bytes: Uint8Array): string | undefined {
  const params = paramsOf(bytes);
  const meta = isJsonObject(params['_meta']) ? params['_meta'] : {};
  const info = params['clientInfo'] ?? meta['io.modelcontextprotocol/clientInfo'];
  const name = isJsonObject(info) ? info['name'] : undefined;
  return typeof name === 'string' ? name : undefined;
}

/** Fields that differ between a call and its retries. */
const changing: ReadonlySet<string> = new Set(['_meta', 'inputResponses', 'requestState']);

/** Says which call a state is for: the same method with the same params, whatever order a client writes them in. */
export function digestOf(method: string, params: JsonObject): string {
  const fixed = Object.fromEntries(Object.entries(params).filter(([key]) => !changing.has(key)));
  return hash('sha256', `${method}\n${canonicalJson(fixed)}`, 'base64url');
}

/** What the upstream had the client send, to be kept while we ask. */
export function theirsIn(params: JsonObject): Theirs | undefined {
  const { requestState, inputResponses } = params;
  if (requestState === undefined && inputResponses === undefined) return undefined;
  return {
    ...(requestState === undefined ? {} : { requestState: JSON.stringify(requestState) }),
    ...(inputResponses === undefined ? {} : { inputResponses: JSON.stringify(inputResponses) }),
  };
}

/** A client's answer to what we asked for (MCP, Elicitation, "Response Actions"). */
export type AskedAction = 'accept' | 'decline' | 'cancel' | 'none';

/** What a retry brings of ours. */
export interface Marks {
  /** The sealed state; absent when the client sent only its answer. */
  readonly state: string | undefined;
  readonly action: AskedAction;
  readonly params: JsonObject;
}

/** `undefined` when nothing in the body is ours. Cheap for bodies in which our marker does not occur at all. */
export function findMarks(bytes: Uint8Array, sealer: RequestStateSealer): Marks | undefined {
  if (!Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(sealer.markerBytes)) return undefined;
  const params = paramsOf(bytes);
  const { requestState, inputResponses } = params;
  const state = sealer.isOurs(requestState) ? requestState : undefined;
  const answer = isJsonObject(inputResponses) ? inputResponses[sealer.marker] : undefined;
  if (state === undefined && answer === undefined) return undefined;
  return { state, action: actionOf(answer), params };
}

function actionOf(answer: unknown): AskedAction {
  const action = isJsonObject(answer) ? answer['action'] : undefined;
  return action === 'accept' || action === 'decline' || action === 'cancel' ? action : 'none';
}

/** The call as its upstream has to see it: without our marks, with what it had the client keep. Every other byte stays. */
export function restoreCall(
  bytes: Uint8Array,
  { state, params }: Marks,
  { marker, theirs }: { readonly marker: string; readonly theirs: Theirs | undefined },
): Uint8Array {
  let text = decoder.decode(bytes);
  if (state !== undefined) text = putBack(text, 'requestState', theirs?.requestState);
  const answers = isJsonObject(params['inputResponses']) ? Object.entries(params['inputResponses']) : [];
  const others = answers.filter(([key]) => key !== marker);
  if (theirs?.inputResponses !== undefined) {
    const kept: unknown = JSON.parse(theirs.inputResponses);
    const all = { ...(isJsonObject(kept) ? kept : {}), ...Object.fromEntries(others) };
    text = putBack(text, 'inputResponses', JSON.stringify(all));
  } else if (others.length > 0) {
    text = removeMember(text, ['params', 'inputResponses', marker]);
  } else if (answers.length > 0) {
    text = removeMember(text, ['params', 'inputResponses']);
  }
  return encoder.encode(text);
}

function putBack(text: string, field: string, json: string | undefined): string {
  const path = ['params', field];
  return json === undefined ? removeMember(text, path) : setMember(text, path, json);
}
