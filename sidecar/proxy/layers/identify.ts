import type { Fields } from '../../http1/fields.ts';
import type { LeaseResponse, UnauthenticatedReason } from '../../contract/lease.ts';
import { brokerUnavailable } from '../rescue.ts';
import { ProxyError } from '../errors.ts';
import { metadataParameter, type ProtectedResource } from '../protected-resource.ts';
import type {
  IdentifiedRequest,
  IncomingRequest,
  Layer,
  Permission,
  ProxyResponse,
  RequestRecord,
} from '../exchange.ts';

export interface LeaseSource {
  /** `peer` is where the connection comes from. @throws LeaseError when nobody can say who the credential is */
  lease(credential: string, peer?: string): LeaseResponse | Promise<LeaseResponse>;
  /** Resolves when what is known of the user may have changed, or when `signal` aborts. */
  changed(subjectKey: string, signal: AbortSignal): Promise<void>;
}

/** Learns from the broker who calls. Every request is identified: a session is not an identity. */
export function identify(leases: LeaseSource, resource: ProtectedResource): Layer<IncomingRequest, IdentifiedRequest> {
  return (inner) =>
    function identifyUser(request) {
      const goOn = (lease: LeaseResponse): Promise<ProxyResponse> =>
        inner({ ...request, permission: permissionOf(lease, request, resource) });
      const lease = leaseOf(leases, request, resource);
      return lease instanceof Promise ? lease.then(goOn) : goOn(lease);
    };
}

function leaseOf(
  leases: LeaseSource,
  request: IncomingRequest,
  resource: ProtectedResource,
): LeaseResponse | Promise<LeaseResponse> {
  try {
    return leases.lease(credentialOf(request.headers), request.peer);
  } catch (error) {
    throw sayWhereToLogIn(error, resource, request);
  }
}

function permissionOf(lease: LeaseResponse, request: IncomingRequest, resource: ProtectedResource): Permission {
  try {
    return takeLease(request.record, lease);
  } catch (error) {
    throw sayWhereToLogIn(error, resource, request);
  }
}

/** The challenge of a 401 leads the client to the identity provider, where there is one. */
function sayWhereToLogIn(error: unknown, resource: ProtectedResource, request: IncomingRequest): unknown {
  if (!(error instanceof ProxyError) || error.code !== 'Unauthenticated') return error;
  const metadata = metadataParameter(resource, request);
  if (metadata === undefined) return error;
  const { message, headers } = error;
  const challenge = `${headers[challengeHeader]}, ${metadata}`;
  return new ProxyError('Unauthenticated', message, { headers: { [challengeHeader]: challenge } });
}

const challengeHeader = 'www-authenticate';

/** RFC 6750, 2.1. Two fields arrive joined by a comma and a space, which no token has. */
const bearer = /^Bearer +([A-Za-z0-9\-._~+/]+=*)$/i;

/** @throws ProxyError when there is not exactly one */
export function credentialOf(headers: Fields): string {
  const authorization = headers.get('authorization');
  if (authorization === null || authorization === '') {
    throw unauthenticated(
      'CredentialMissing',
      'This server needs to know who you are: send Authorization: Bearer <token>.',
    );
  }
  const credential = bearer.exec(authorization)?.[1];
  if (credential === undefined) {
    throw unauthenticated('CredentialMalformed', 'Send exactly one Authorization header of the form Bearer <token>.');
  }
  return credential;
}

/** Puts on record who asks and what they got. @throws ProxyError when the broker's decision ends the request */
export function takeLease(record: RequestRecord, lease: LeaseResponse): Permission {
  remember(record, lease);
  return permit(lease);
}

function permit(lease: LeaseResponse): Permission {
  switch (lease.decision) {
    case 'granted':
    case 'missing':
    case 'invalid':
    case 'expired':
    case 'pendingApproval':
      return lease;
    case 'denied':
      return permitDenied(lease);
    case 'unauthenticated':
      // The issuer could not be asked: that is no fault of the credential, and a 401 would start a login.
      if (lease.reason === 'IssuerUnavailable') throw new ProxyError('BrokerUnavailable', lease.message);
      throw unauthenticated(lease.reason, lease.message);
  }
}

function permitDenied(lease: Extract<LeaseResponse, { decision: 'denied' }>): Permission {
  switch (lease.reason) {
    case 'KeyUnreadable':
      return { decision: 'unreadable', hints: [], message: lease.message };
    case 'AuditUnavailable':
      throw new ProxyError('BrokerUnavailable', brokerUnavailable);
    case 'NamespaceHasNoOrganization':
    case 'ServerNotFound':
      throw new ProxyError('AccessDenied', lease.message);
  }
}

function remember(record: RequestRecord, lease: LeaseResponse): void {
  if (lease.decision !== 'unauthenticated') {
    record.subject = lease.subject;
    record.userRules = lease.userRules;
  }
  record.isDiscovering = lease.decision === 'missing' && lease.discovery !== undefined;
  if (lease.decision !== 'granted') return;
  record.leaseId = lease.leaseId;
  record.keyVersion = lease.keyVersion;
  record.keySource = lease.headers.length === 0 ? undefined : (lease.keySource ?? 'user');
}

/** The only 401: a client takes it as "log in", which helps against nothing else. */
function unauthenticated(reason: UnauthenticatedReason, message: string): ProxyError {
  const failed = reason === 'CredentialMissing' ? '' : `, error="invalid_token", error_description="${reason}"`;
  return new ProxyError('Unauthenticated', message, {
    headers: { [challengeHeader]: `Bearer realm="mcp-keyring"${failed}` },
  });
}
