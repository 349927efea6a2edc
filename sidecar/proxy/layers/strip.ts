import {
  canonicalHeaderName,
  isIdentityHeaderName,
  isReservedHeaderName,
  strippedHeaderNames,
} from '../../contract/headers.ts';
import type { PolicySnapshot } from '../../contract/watch.ts';
import type { BoundToSession, Layer, OutgoingRequest } from '../exchange.ts';

/**
 * Copies the client's headers without those that a key goes into, and without its own credential: the upstream must never see
 * either (MCP security best practices, "Token Passthrough"). Nor may a client say in a front proxy's words who it is.
 */
export function strip(policy: () => PolicySnapshot | undefined): Layer<BoundToSession, OutgoingRequest> {
  const declared = new DeclaredNames();
  return (inner) =>
    function stripCredentials(request) {
      const forbidden = declared.of(policy());
      const leased = leasedNames(request);
      const outgoing = new Headers(request.headers);
      for (const name of request.headers.keys()) {
        const canonical = canonicalHeaderName(name);
        if (forbidden.has(canonical) || leased.includes(canonical) || isMisleading(name)) outgoing.delete(name);
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
  return new Set([...strippedHeaderNames, ...declared].map(canonicalHeaderName));
}

/** The lease may be newer than the declaration. */
function leasedNames({ permission }: BoundToSession): readonly string[] {
  return permission.decision === 'granted' ? permission.headers.map((header) => canonicalHeaderName(header.name)) : [];
}

/** A reserved name with `_`, like `Mcp_Session_Id`, is one that the layers above have not judged, and a CGI server takes for it. */
function isMisleading(name: string): boolean {
  return isIdentityHeaderName(name) || (name.includes('_') && isReservedHeaderName(name));
}
