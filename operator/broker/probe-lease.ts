import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import { leaseTtlMsMax } from '#contract/lease.ts';
import { AuditError } from '#operator/audit/audit-error.ts';
import type { AuditLog } from '#operator/audit/audit-log.ts';
import type { VerifiedPod } from '#operator/identity/pod-identity.ts';
import type { Log } from '#operator/kube/observers.ts';
import { type EffectiveHeader, sameHeader } from '#operator/policy/effective-headers.ts';
import {
  type OpenedProbe,
  probeCredentialPrefix,
  type ProbeCredentials,
} from '#operator/validation/probe-credential.ts';

import type { Denials } from './denials.ts';
import { encodeGranted, type HeaderToLease } from './granted-body.ts';
import { toLease } from './headers-to-lease.ts';
import type { KeylessResponse, LeaseAnswer } from './lease-service.ts';
import { leaseTtlMs } from './lease.ts';
import { leaseholderOnRecord } from './pod-on-record.ts';

export interface ProbeLeasesOptions {
  readonly credentials: Pick<ProbeCredentials, 'open'>;
  readonly audit: Pick<AuditLog, 'append'>;
  readonly denials: Pick<Denials, 'record'>;
  readonly log: Log;
  readonly now: () => Date;
  readonly newId: () => string;
}

/** A sidecar that shows a credential, before anybody has looked whose it is. */
export interface ProbeAsked {
  readonly pod: VerifiedPod;
  readonly organization: string;
  readonly server: McpServer;
  readonly headers: readonly EffectiveHeader[];
  readonly credential: string;
}

/** Whom a sidecar takes the caller for. The key's user stands in the record of the lease. */
const prober = { issuer: 'mcp-keyring', id: 'probe', name: 'MCP Keyring, trying a key' } as const;

/** Leases of the operator to itself: exactly the key in the credential, to the sidecar of the server that it is for. */
export class ProbeLeases {
  readonly #options: ProbeLeasesOptions;

  constructor(options: ProbeLeasesOptions) {
    this.#options = options;
  }

  isFor(credential: string): boolean {
    return credential.startsWith(probeCredentialPrefix);
  }

  async lease(asked: ProbeAsked): Promise<LeaseAnswer> {
    using probe = this.#options.credentials.open(asked.credential);
    if (probe === undefined || !isMeant(probe, asked)) return this.#refuse(asked);
    const used = asked.headers.filter(({ name }) => probe.headers.some((header) => sameHeader(header.name, name)));
    const headers = toLease(used, probe.headers);
    if (headers === undefined) return this.#refuse(asked);
    const leaseId = this.#options.newId();
    try {
      await this.#record(asked, { probe, leaseId, headers });
    } catch (error) {
      this.#options.log.error('a lease could not be recorded', {
        code: error instanceof AuditError ? error.code : 'unknown',
      });
      const message = 'The audit log takes no events at the moment, so no key is handed out. Try again.';
      return keyless({ decision: 'denied', reason: 'AuditUnavailable', message, subject: prober });
    }
    const { keyVersion, endsAtMs } = probe.claims;
    const ttlMs = leaseTtlMs(leaseTtlMsMax, endsAtMs, this.#options.now().getTime());
    const terms = {
      decision: 'granted',
      leaseId,
      subject: prober,
      subjectKey: probe.probeKey,
      keyVersion,
      ttlMs,
      probe: true,
    } as const;
    return { kind: 'granted', body: encodeGranted(terms, headers) };
  }

  #record(
    { pod, organization }: ProbeAsked,
    {
      probe,
      leaseId,
      headers,
    }: { readonly probe: OpenedProbe; readonly leaseId: string; readonly headers: readonly HeaderToLease[] },
  ): Promise<void> {
    const { audit, newId, now } = this.#options;
    const { server, subject, keyVersion } = probe.claims;
    return audit.append({
      type: 'lease',
      id: newId(),
      at: now().toISOString(),
      leaseId,
      keyVersion,
      keySource: 'user',
      headerNames: headers.map(({ name }) => name),
      organization,
      server,
      subject,
      ...leaseholderOnRecord(pod, server),
    });
  }

  async #refuse({ pod, organization, server }: ProbeAsked): Promise<LeaseAnswer> {
    const { namespace = '', name } = server.metadata;
    const reason = 'CredentialMalformed';
    const message = 'The credential is not a token that can be read.';
    const place = { server: { namespace, name }, organization };
    await this.#options.denials.record(pod.uid, { ...place, action: 'lease', reason, message });
    return keyless({ decision: 'unauthenticated', reason, message });
  }
}

/** Only where the key would go in traffic: neither to agents nor through gateways, and to no server of the same name that came later. */
function isMeant({ claims }: OpenedProbe, { pod, organization, server }: ProbeAsked): boolean {
  const { namespace, name, uid } = server.metadata;
  const isHere = claims.server.namespace === namespace && claims.server.name === name && claims.serverUid === uid;
  return isHere && pod.role === 'server' && claims.organization === organization;
}

function keyless(response: KeylessResponse): LeaseAnswer {
  return { kind: 'keyless', response };
}
