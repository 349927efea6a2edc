import { strippedHeaderNames } from '../../contract/headers.ts';
import type { PolicySnapshot } from '../../contract/watch.ts';
import type { ClassifiedRequest, Layer, OutgoingRequest } from '../exchange.ts';

/**
 * Copies the client's headers without those that a key goes into, and without its own credential: the upstream must never see
 * either (MCP security best practices, "Token Passthrough").
 */
export function strip(policy: () => PolicySnapshot | undefined): Layer<ClassifiedRequest, OutgoingRequest> {
  const declared = new DeclaredNames();
  return (inner) =>
    function stripCredentials(request) {
      const forbidden = declared.of(policy());
      const leased = leasedNames(request);
      const outgoing = new Headers(request.headers);
      for (const name of request.headers.keys()) {
        const canonical = canonicalName(name);
        if (forbidden.has(canonical) || leased.includes(canonical)) outgoing.delete(name);
      }
      return inner({ ...request, outgoing });
    };
}

/** Canonical names of what a policy declares and of what is never forwarded. A policy does not change, it is replaced. */
class DeclaredNames {
  #policy: PolicySnapshot | undefined;
  #names: ReadonlySet<string> = namesOf(undefined);

  of(policy: PolicySnapshot | undefined): ReadonlySet<string> {
    if (policy === this.#policy) return this.#names;
    this.#policy = policy;
    this.#names = namesOf(policy);
    return this.#names;
  }
}

function namesOf(policy: PolicySnapshot | undefined): ReadonlySet<string> {
  const declared = policy?.headers.map((header) => header.name) ?? [];
  return new Set([...strippedHeaderNames, ...declared].map(canonicalName));
}

/** The lease may be newer than the declaration. */
function leasedNames({ permission }: ClassifiedRequest): readonly string[] {
  return permission.decision === 'granted' ? permission.headers.map((header) => canonicalName(header.name)) : [];
}

/** CGI and WSGI servers read `X_Api_Key` and `X-Api-Key` as one variable: whichever comes last would win. */
function canonicalName(name: string): string {
  const lowered = name.toLowerCase();
  return lowered.includes('_') ? lowered.replaceAll('_', '-') : lowered;
}
