import { strippedHeaderNames } from '../../contract/headers.ts';
import type { IdentifiedRequest, Layer } from '../exchange.ts';

export interface DeclaredHeaders {
  /** Names of every header that a key may be injected into, as the server's administrator wrote them. */
  readonly names: () => readonly string[];
}

/**
 * Takes away what the client sent in any header that a key goes into, and its own credential: the upstream must never see either
 * (MCP security best practices, "Token Passthrough").
 */
export function strip<R extends IdentifiedRequest>(declared: DeclaredHeaders): Layer<R> {
  return (inner) =>
    async function stripCredentials(request) {
      const forbidden = new Set(
        [...strippedHeaderNames, ...declared.names(), ...leasedNames(request)].map(canonicalName),
      );
      const headers = new Headers();
      for (const [name, value] of request.headers) {
        if (!forbidden.has(canonicalName(name))) headers.append(name, value);
      }
      return inner({ ...request, headers });
    };
}

/** The lease may be newer than the declaration. */
function leasedNames({ permission }: IdentifiedRequest): readonly string[] {
  return permission.decision === 'granted' ? permission.headers.map((header) => header.name) : [];
}

/** CGI and WSGI servers read `X_Api_Key` and `X-Api-Key` as one variable: whichever comes last would win. */
function canonicalName(name: string): string {
  return name.toLowerCase().replaceAll('_', '-');
}
