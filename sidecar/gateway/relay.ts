import { Fields } from '../http1/fields.ts';
import type { LeavingSignal } from '../http1/leaving.ts';
import type { StreamedBody } from '../http1/request-head.ts';
import type { PolicySnapshot } from '../contract/watch.ts';
import type { Bounds } from '../proxy/bounds-in-force.ts';
import { ProxyError } from '../proxy/errors.ts';
import type { Handler, IncomingRequest, ProxyResponse } from '../proxy/exchange.ts';
import { type AuditOptions, auditRefusals } from '../proxy/layers/audit.ts';
import { checkHostOrigin, type HostsAndOrigins } from '../proxy/layers/check-host-origin.ts';
import { dropHopByHopFields } from '../proxy/layers/drop-hop-by-hop.ts';
import { type DrainSignal, endWithDrain } from '../proxy/layers/end-at-drain.ts';
import { limitHead } from '../proxy/layers/limit-head.ts';
import { prefixHeader, publicPrefix } from '../proxy/message-chunks.ts';
import { serveMetadata } from '../proxy/layers/serve-metadata.ts';
import { metadataParameter, type ProtectedResource } from '../proxy/protected-resource.ts';
import { unanswered } from '../proxy/unanswered.ts';

/** To the Service of a server in the cluster. `path` is the server's own, with the query. */
export type Relay = (request: RelayedRequest) => Promise<ProxyResponse>;

export interface RelayedRequest {
  readonly url: string;
  readonly method: string;
  readonly headers: Fields;
  readonly body: Uint8Array | StreamedBody | undefined;
  /** Where it comes from: who the user is, is read by the sidecar only. */
  readonly peer: string;
  readonly signal: LeavingSignal;
}

export interface RelayParts {
  readonly resource: ProtectedResource;
  readonly policy: () => PolicySnapshot | undefined;
  readonly allowed: HostsAndOrigins;
  readonly bounds: () => Pick<Bounds, 'bodyBytesMax'>;
  readonly relay: Relay;
  readonly drain: DrainSignal;
  readonly audit: AuditOptions;
}

/**
 * The way to a server in the cluster: its sidecar does everything that a request needs, and puts it on record; only what does not get
 * there is on record here. No body is read or kept here, so errors of ours name no request; the client's own credential goes along, as
 * the sidecar is who it is for.
 */
export function relayToSidecar(parts: RelayParts): Handler<IncomingRequest> {
  const { resource, policy, allowed, bounds, audit } = parts;
  const checked = checkHostOrigin(allowed, policy)(limitHead(bounds)(relayed(parts)));
  return auditRefusals(audit)(serveMetadata(resource)(checked));
}

function relayed({ policy, relay, resource, drain }: RelayParts): Handler<IncomingRequest> {
  return async function relayRequest(request) {
    const { method, peer, signal } = request;
    const headers = new Fields(request.headers);
    dropHopByHopFields(headers);
    // The HTTP client writes these two for the new connection.
    headers.delete('host');
    headers.delete('content-length');
    // Where a server of the transport of 2024-11-05 names a URL for messages, its sidecar has to know what stands before it here.
    if (method === 'GET') headers.set(prefixHeader, publicPrefix(request.headers, resource.endpoint));
    const body = bodyOf(request);
    const url = urlOf(policy(), request, resource.endpoint.path);
    try {
      const response = await relay({ url, method, headers, body, peer, signal });
      const answer = withOurChallenge(response, resource, request);
      // Whatever else streams may still have a result to bring.
      return method === 'GET' ? endWithDrain(answer, drain) : answer;
    } catch (cause) {
      if (signal.aborted) throw new ProxyError('ClientClosed', 'The client has gone.', { cause });
      throw unanswered(cause);
    }
  };
}

/** As far as it is here: the rest goes on as it comes. */
function bodyOf({ method, body }: IncomingRequest): Uint8Array | StreamedBody | undefined {
  if (method !== 'POST') return undefined;
  const whole = body.here();
  if (whole !== undefined) return whole;
  const { declaredBytes } = body;
  const chunks = body.chunks();
  return { declaredBytes, read: () => chunks.read(), cancel: () => chunks.cancel() };
}

/** The endpoint has the server's own path; whatever else there is keeps the path that the server gave it. */
function urlOf(policy: PolicySnapshot | undefined, { path, query }: IncomingRequest, endpointPath: string): string {
  const url = policy?.upstream?.kind === 'cluster' ? policy.upstream.url : '';
  return path === endpointPath
    ? `${url}${query}`
    : `${url.slice(0, url.indexOf('/', 'http://'.length))}${path}${query}`;
}

/** The sidecar names a URL that the client does not know: its own. */
function withOurChallenge(
  response: ProxyResponse,
  resource: ProtectedResource,
  request: IncomingRequest,
): ProxyResponse {
  dropHopByHopFields(response.headers);
  const challenge = response.headers.get('www-authenticate');
  if (response.status !== 401 || challenge === null) return response;
  const parameters = [challenge.replace(/, resource_metadata="[^"]*"/, ''), metadataParameter(resource, request)];
  response.headers.set('www-authenticate', parameters.filter((parameter) => parameter !== undefined).join(', '));
  return response;
}
