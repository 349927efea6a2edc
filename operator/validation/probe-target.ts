import { isUsablePattern } from '#cli/contract/key-pattern.ts';
import type { McpServer, McpServerCaBundleRef } from '#crds/v1alpha1/generated/mcp-server.ts';
import type {
  UserKeyPolicyHttp,
  UserKeyPolicyProbe,
  UserKeyPolicyTool,
} from '#crds/v1alpha1/generated/user-key-policy.ts';
import { caBundleCharsMax } from '#contract/watch.ts';
import { serverUpstream, type UpstreamSources } from '#operator/policy/server-upstream.ts';

import type { ProbePlace } from './checked-request.ts';
import type { FailureReason } from './verdict.ts';

/** How a probe is carried out. `upstream` is what its budget is kept by. */
export type ProbeTarget =
  | { readonly kind: 'http'; readonly upstream: string; readonly place: ProbePlace; readonly http: UserKeyPolicyHttp }
  | {
      readonly kind: 'tool';
      readonly upstream: string;
      readonly place: ProbePlace;
      readonly url: URL;
      readonly tool: UserKeyPolicyTool;
    }
  | { readonly kind: 'impossible'; readonly reason: FailureReason };

/**
 * Pure. Keys go to the server itself, and to the origins that its author lists: whoever writes a policy only chooses among these. A
 * tool of a server in the cluster is called through its sidecar, as users call it.
 */
export function probeTarget(server: McpServer, { tool, http }: UserKeyPolicyProbe, from: UpstreamSources): ProbeTarget {
  const { matches } = (tool ?? http)?.expect ?? {};
  // It would fit no answer, which says nothing of a key.
  if (matches !== undefined && !isUsablePattern(matches)) return impossible('ExpectationTooLarge');
  if (http !== undefined) return httpTarget(server, http, from);
  if (tool === undefined) return impossible('OriginNotAllowed');
  if (server.spec.transport === 'SSE') return impossible('TransportUnsupported');
  const upstream = serverUpstream(server, from);
  if (upstream === undefined) return impossible('CaBundleMissing');
  const url = new URL(upstream.url);
  if (upstream.kind === 'cluster') return { kind: 'tool', upstream: url.host, place: { kind: 'cluster' }, url, tool };
  const { ca, allowPrivateAddresses } = upstream;
  const place = { kind: 'outside', allowPrivateAddresses, ...(ca === undefined ? {} : { ca }) } as const;
  return { kind: 'tool', upstream: url.origin, place, url, tool };
}

interface Allowed {
  readonly caBundleRef?: McpServerCaBundleRef;
  readonly allowPrivateAddresses: boolean;
}

function httpTarget(server: McpServer, http: UserKeyPolicyHttp, from: UpstreamSources): ProbeTarget {
  const { origin } = new URL(http.url);
  const allowed = allowedAt(server, origin);
  if (allowed === undefined) return impossible('OriginNotAllowed');
  const { caBundleRef, allowPrivateAddresses } = allowed;
  if (caBundleRef === undefined) {
    return { kind: 'http', upstream: origin, place: { kind: 'outside', allowPrivateAddresses }, http };
  }
  const ca = from.caBundles.get(server.metadata.namespace, caBundleRef.name)?.data?.[caBundleRef.key];
  // Never the public roots instead of what is named.
  if (ca === undefined || ca.trim() === '' || ca.length > caBundleCharsMax) return impossible('CaBundleMissing');
  return { kind: 'http', upstream: origin, place: { kind: 'outside', allowPrivateAddresses, ca }, http };
}

function allowedAt({ spec }: McpServer, origin: string): Allowed | undefined {
  const { remote } = spec.upstream;
  if (remote !== undefined && new URL(remote.url).origin === origin) return remote;
  return spec.authentication.probeOrigins?.find((listed) => new URL(listed.origin).origin === origin);
}

function impossible(reason: FailureReason): ProbeTarget {
  return { kind: 'impossible', reason };
}
