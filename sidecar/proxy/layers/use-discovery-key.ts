import { isDiscovery } from '../../mcp/methods.ts';
import type { BoundToSession, Layer } from '../exchange.ts';

/**
 * Lets a user who has no key yet learn what the server offers, with a key that is for that alone. Which requests those are is read from
 * the body, as everything that is decided here; a call goes on without, or was answered above.
 */
export function useDiscoveryKey(): Layer<BoundToSession> {
  return (inner) =>
    function discoverWithKey(request) {
      const { permission, message, record } = request;
      if (permission.decision === 'granted' || permission.discovery === undefined) return inner(request);
      const { subject } = record;
      if (message === undefined || message.kind === 'response' || !isDiscovery(message.method)) return inner(request);
      if (subject === undefined || permission.subjectKey === undefined) return inner(request);
      const { leaseId, keyVersion, headers } = permission.discovery;
      record.leaseId = leaseId;
      record.keyVersion = keyVersion;
      record.keySource = 'discovery';
      return inner({
        ...request,
        permission: {
          decision: 'granted',
          leaseId,
          subject,
          subjectKey: permission.subjectKey,
          headers,
          keyVersion,
          keySource: 'discovery',
          otherwise: permission,
          ttlMs: 0,
        },
      });
    };
}
