import { Fields } from '../../http1/fields.ts';
import { ownText } from '../../http1/own-text.ts';
import {
  canonicalHeaderName,
  isIdentityHeaderName,
  isReservedHeaderName,
  strippedHeaderNames,
} from '../../contract/headers.ts';
import type { LeasedHeader } from '../../contract/lease.ts';
import type { PolicySnapshot } from '../../contract/watch.ts';
import type { BoundToSession, Layer, OutgoingRequest } from '../exchange.ts';

/**
 * Copies the client's headers without those that a key goes into, and without its own credential: the upstream must never see
 * either (MCP security best practices, "Token Passthrough"). Nor may a client say in a front proxy's words who it is.
 */
export function strip(policy: () => PolicySnapshot | undefined): Layer<BoundToSession, OutgoingRequest> {
  const declared = new DeclaredNames();
  const names = new JudgedNames();
  return (inner) =>
    function stripCredentials(request) {
      const forbidden = declared.of(policy());
      const leased = leasedNames(request);
      const outgoing = new Fields(request.headers);
      outgoing.deleteWhere((name) => {
        const { canonical, misleads } = names.judge(name);
        return misleads || forbidden.has(canonical) || leased.includes(canonical);
      });
      return inner({ ...request, outgoing });
    };
}

interface JudgedName {
  readonly canonical: string;
  readonly misleads: boolean;
}

/** Clients send the same few names again and again. Bounded, as names are theirs to choose. */
class JudgedNames {
  readonly #judged = new Map<string, JudgedName>();

  judge(name: string): JudgedName {
    const known = this.#judged.get(name);
    if (known !== undefined) return known;
    const judged = { canonical: canonicalHeaderName(name), misleads: isMisleading(name) };
    if (this.#judged.size < judgedNamesMax && name.length <= judgedCharsMax) this.#judged.set(ownText(name), judged);
    return judged;
  }
}

const judgedNamesMax = 512;
const judgedCharsMax = 128;

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

/** A lease does not change, it is replaced. */
const leasedOf = new WeakMap<readonly LeasedHeader[], readonly string[]>();

/** The lease may be newer than the declaration. */
function leasedNames({ permission }: BoundToSession): readonly string[] {
  if (permission.decision !== 'granted') return [];
  const known = leasedOf.get(permission.headers);
  if (known !== undefined) return known;
  const names = permission.headers.map((header) => canonicalHeaderName(header.name));
  leasedOf.set(permission.headers, names);
  return names;
}

/** A reserved name with `_`, like `Mcp_Session_Id`, is one that the layers above have not judged, and a CGI server takes for it. */
function isMisleading(name: string): boolean {
  return isIdentityHeaderName(name) || (name.includes('_') && isReservedHeaderName(name));
}
