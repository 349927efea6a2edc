/**
 * Preloaded into programs that cannot be told a credential: every request that has no Authorization gets the one of the environment.
 * Nothing else about the request changes, as it would if something stood in between.
 */
import { channel } from 'node:diagnostics_channel';
import type { ClientRequest } from 'node:http';

const authorization = process.env['SHOWN_AUTHORIZATION'] ?? '';

interface UndiciRequest {
  readonly headers: readonly string[] | string | null;
  addHeader(name: string, value: string): void;
}

/** Also what `fetch` sends. */
channel('undici:request:create').subscribe((message) => {
  const { request } = message as { readonly request: UndiciRequest };
  const given = Array.isArray(request.headers) ? request.headers.join('\n') : (request.headers ?? '');
  if (!/^authorization\b/im.test(given as string)) request.addHeader('authorization', authorization);
});

channel('http.client.request.created').subscribe((message) => {
  const { request } = message as { readonly request: ClientRequest };
  if (!request.hasHeader('authorization')) request.setHeader('authorization', authorization);
});
