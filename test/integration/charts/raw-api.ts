import { request } from 'node:https';

import type { ConnectionSource } from '#operator/kube/connection.ts';

export interface Caller {
  readonly user: string;
  readonly groups?: readonly string[];
  readonly uid?: string;
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly body?: unknown;
  /** Impersonated; absent: the administrator. */
  readonly as?: Caller;
  /** Runs everything, admission too, but keeps nothing. */
  readonly dryRun?: boolean;
}

export interface Answer {
  readonly status: number;
  /** What the API server says about a refusal. */
  readonly message: string;
  readonly body: Record<string, unknown>;
}

/** Calls to a real API server whose refusals are looked at word by word, which our own client does not pass on. */
export class RawApi {
  readonly #source: ConnectionSource;

  constructor(source: ConnectionSource) {
    this.#source = source;
  }

  async call({ method, path, body, as, dryRun = false }: Call): Promise<Answer> {
    const settings = await this.#source();
    const url = new URL(path, settings.server);
    if (dryRun) url.searchParams.set('dryRun', 'All');
    const headers = {
      accept: 'application/json',
      'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
      ...impersonation(as),
    };
    const { certificate, key } = settings.clientCertificate ?? { certificate: '', key: '' };
    const text = await new Promise<{ status: number; text: string }>((resolve, reject) => {
      const sent = request(url, { method, headers, ca: settings.ca, cert: certificate, key }, (response) => {
        const pieces: Buffer[] = [];
        response.on('data', (piece: Buffer) => pieces.push(piece));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(pieces).toString() }));
        response.on('error', reject);
      });
      sent.on('error', reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
    return answerOf(text);
  }
}

function impersonation(caller: Caller | undefined): Record<string, string | string[]> {
  if (caller === undefined) return {};
  return {
    'impersonate-user': caller.user,
    ...(caller.groups === undefined ? {} : { 'impersonate-group': [...caller.groups] }),
    ...(caller.uid === undefined ? {} : { 'impersonate-uid': caller.uid }),
    ...Object.fromEntries(
      Object.entries(caller.extra ?? {}).map(([name, values]) => [
        `impersonate-extra-${encodeURIComponent(name)}`,
        [...values],
      ]),
    ),
  };
}

function answerOf({ status, text }: { status: number; text: string }): Answer {
  try {
    const body = JSON.parse(text) as Record<string, unknown>;
    return { status, message: typeof body['message'] === 'string' ? body['message'] : '', body };
  } catch {
    return { status, message: text, body: {} };
  }
}
