import type { LeaseResponse } from '#contract/lease.ts';
import { AuditError } from '#operator/audit/audit-error.ts';
import type { AuditLog } from '#operator/audit/audit-log.ts';
import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { ServerRef, Subject } from '#contract/lease.ts';
import type { VerifiedPod } from '#operator/identity/pod-identity.ts';
import { KubeError } from '#operator/kube/errors.ts';
import type { Log } from '#operator/kube/observers.ts';
import type { EffectiveHeader } from '#operator/policy/effective-headers.ts';
import { mayHoldSharedKey } from '#operator/shared-keys/shared-refusal.ts';
import type { SharedKeys } from '#operator/shared-keys/shared-keys.ts';

import { encodeDiscovery } from './granted-body.ts';
import { toLease } from './headers-to-lease.ts';
import type { LeaseAnswer } from './lease-service.ts';
import { decideRelease } from './lease.ts';
import type { BrokerObserver } from './metrics.ts';
import { leaseholderOnRecord } from './pod-on-record.ts';

export interface DiscoveryLeasesOptions {
  readonly sharedKeys: Pick<SharedKeys, 'open'>;
  readonly audit: Pick<AuditLog, 'append'>;
  readonly observer: Pick<BrokerObserver, 'keyReleased'>;
  readonly log: Log;
  readonly now: () => Date;
  readonly newId: () => string;
}

/** A known user at a server. */
export interface DiscoveryAsked {
  readonly pod: VerifiedPod;
  readonly organization: { readonly name: string };
  readonly server: McpServer;
  readonly headers: readonly EffectiveHeader[];
  readonly address: { readonly server: ServerRef };
  readonly user: { readonly subject: Subject };
}

/**
 * Puts the key for discovery beside the answer to a user who has none of their own. It is no lease: proxies use it for the handshake
 * and for lists, never for a call, and those that do not know it do without.
 */
export class DiscoveryLeases {
  readonly #options: DiscoveryLeasesOptions;

  constructor(options: DiscoveryLeasesOptions) {
    this.#options = options;
  }

  /** The answer as it is where there is no such key, or it cannot be used or recorded: users then go without, as they would. */
  async addTo(answer: LeaseAnswer, asked: DiscoveryAsked): Promise<LeaseAnswer> {
    if (answer.kind !== 'keyless' || answer.response.decision !== 'missing') return answer;
    const { server, headers, address } = asked;
    if (!isMeantFor(answer.response, asked)) return answer;
    try {
      const opening = await this.#options.sharedKeys.open({ server, headers }, 'discovery');
      if (opening.kind === 'unusable') return answer;
      using key = opening.key;
      const names = key.headers.map(({ name }) => name);
      const release = decideRelease(headers, names);
      const leased = release.kind === 'missing' ? undefined : toLease(release.headers, key.headers);
      if (leased === undefined || leased.length === 0) return answer;
      const leaseId = this.#options.newId();
      const headerNames = leased.map(({ name }) => name);
      await this.#record(asked, { leaseId, keyVersion: key.version, headerNames });
      this.#options.observer.keyReleased('discovery');
      const body = encodeDiscovery(answer.response, { leaseId, keyVersion: key.version }, leased);
      return { kind: 'granted', decision: 'missing', body };
    } catch (error) {
      if (!(error instanceof KubeError) && !(error instanceof AuditError)) throw error;
      this.#options.log.error('a key for discovery is not handed out', { ...address.server, code: error.code });
      return answer;
    }
  }

  #record(
    { pod, organization, address, user }: DiscoveryAsked,
    lease: { readonly leaseId: string; readonly keyVersion: number; readonly headerNames: readonly string[] },
  ): Promise<void> {
    const { audit, newId, now } = this.#options;
    return audit.append({
      type: 'lease',
      id: newId(),
      at: now().toISOString(),
      ...lease,
      keySource: 'discovery',
      organization: organization.name,
      server: address.server,
      subject: user.subject,
      ...leaseholderOnRecord(pod, address.server),
    });
  }
}

/** Where users have no keys of their own there is nothing that they wait for. */
function isMeantFor(
  { keySource }: Extract<LeaseResponse, { decision: 'missing' | 'invalid' | 'expired' | 'pendingApproval' }>,
  { pod, server, address }: DiscoveryAsked,
): boolean {
  if (keySource !== undefined || !mayHoldSharedKey(pod, address.server)) return false;
  return server.spec.authentication.discoveryKeySecretRef !== undefined;
}
