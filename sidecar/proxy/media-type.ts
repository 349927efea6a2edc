import type { Fields } from '../http1/fields.ts';
/** What a body is, by its `Content-Type`. */
export function isEventStream(headers: Fields): boolean {
  return headers.get('content-type')?.toLowerCase().startsWith('text/event-stream') === true;
}

/** Whether nobody reads the body in another encoding than UTF-8, in which it is judged: JSON and events have no other. */
export function isUtf8(headers: Fields): boolean {
  const charset = /;\s*charset\s*=\s*"?([^\s";,]*)/i.exec(headers.get('content-type') ?? '')?.[1];
  return charset === undefined || /^(?:utf-?8|us-ascii)$/i.test(charset);
}
