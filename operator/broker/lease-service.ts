import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import type { DenyReason, LeaseRequest, LeaseResponse, ServerRef, Subject, UserRules } from '#contract/lease.ts';
import { leaseTtlMsMax } from '#contract/lease.ts';
import { describeSetCommand } from '#contract/set-command.ts';
import type { TokenIdentifier } from '#operator/access-tokens/identify-token.ts';
import type { AuditLog, LeaseEvent } from '#operator/audit/audit-log.ts';
import { AuditError } from '#operator/audit/audit-error.ts';
import type { Identification } from '#operator/identity/identification.ts';
import type { VerifiedPod } from '#operator/identity/pod-identity.ts';
import { withResource } from '#operator/identity/resource-audience.ts';
import { approvalEndsAtMs } from '#operator/key-state/approval.ts';
import { blockedAtMs, keyAge } from '#operator/key-state/key-age.ts';
import { keyStanding } from '#operator/key-state/key-standing.ts';
import { keyStates } from '#operator/key-state/key-states.ts';
import { withDetected } from '#operator/key-state/detected-end.ts';
import type { UseRecorder } from '#operator/key-state/use-recorder.ts';
import { KeyStoreError } from '#operator/keystore/errors.ts';
import type { KeyAddress, KeyStore, OpenedKey } from '#operator/keystore/key-store.ts';
import { revokedVersion } from '#operator/keystore/revoked.ts';
import { KubeError } from '#operator/kube/errors.ts';
import type { Log } from '#operator/kube/observers.ts';
import type { EffectiveHeader } from '#operator/policy/effective-headers.ts';
import { bind } from '#operator/policy/bound-policies.ts';
import { effectiveHeaders } from '#operator/policy/effective-headers.ts';
import { type EffectivePolicy, effectivePolicy } from '#operator/policy/effective-policy.ts';
import { userRules } from '#operator/policy/user-rules.ts';
import { type KeyUse, keyUse, takesOwnKeys } from '#operator/shared-keys/key-use.ts';
import type { ExplainedRefusal } from '#operator/shared-keys/shared-refusal.ts';
import type { SubjectRecorder } from '#operator/subjects/subject-recorder.ts';
import type { Tenancy, TenancyIndex } from '#operator/tenancy/tenancy.ts';

import type { Denials } from './denials.ts';
import type { DiscoveryLeases } from './discovery-leases.ts';
import { BrokerError } from './errors.ts';
import type { GrantedBody, HeaderToLease } from './granted-body.ts';
import { encodeGranted } from './granted-body.ts';
import { toLease } from './headers-to-lease.ts';
import type { Opening, RefusedKind } from './lease.ts';
import {
  decideOpening,
  decideRelease,
  explainRefusal,
  isRefused,
  isWithoutOwnKey,
  leaseTtlMs,
  mayShare,
} from './lease.ts';
import { brokerLimits } from './limits.ts';
import type { BrokerObserver } from './metrics.ts';
import type { PodGate } from './pod-gate.ts';
import { leaseholderOnRecord } from './pod-on-record.ts';
import type { ProbeLeases } from './probe-lease.ts';
import type { BrokerSources } from './sources.ts';
import type { Receipts } from './receipts.ts';
import type { SharedLeases } from './shared-leases.ts';
import { subjectBudget } from './subject-budget.ts';
import type { UserGate } from './user-gate.ts';

/** Every answer that holds no key. */
export type KeylessResponse = Exclude<LeaseResponse, { decision: 'granted' }>;

export type LeaseAnswer =
  /** Whoever sends it disposes it. `missing`: with a key that only serves to learn what there is. */
  | { readonly kind: 'granted'; readonly body: GrantedBody; readonly decision?: 'missing' }
  | { readonly kind: 'keyless'; readonly response: KeylessResponse };

export interface LeaseServiceOptions {
  readonly podGate: PodGate;
  readonly userGate: UserGate;
  readonly tenancy: TenancyIndex;
  readonly sources: Pick<BrokerSources, 'mcpServers' | 'userKeyPolicies' | 'userKeys'>;
  readonly keyStore: Pick<KeyStore, 'open' | 'subjectKeyOf' | 'userKeyNameOf'>;
  readonly shared: Pick<SharedLeases, 'decide'>;
  readonly discovery: Pick<DiscoveryLeases, 'addTo'>;
  readonly audit: Pick<AuditLog, 'append'>;
  readonly denials: Pick<Denials, 'record'>;
  readonly observer: Pick<BrokerObserver, 'keyReleased'>;
  readonly receipts: Pick<Receipts, 'issue'>;
  readonly probes: Pick<ProbeLeases, 'isFor' | 'lease'>;
  readonly subjects: Pick<SubjectRecorder, 'seen'>;
  readonly uses: Pick<UseRecorder, 'used'>;
  readonly accessTokens: Pick<TokenIdentifier, 'identify'>;
  /** URL of a server that tokens may name as their audience; undefined: there is none. */
  readonly resourceOf: (server: ServerRef) => string | undefined;
  readonly log: Log;
  readonly now: () => Date;
  readonly newId: () => string;
}

type Identified = Extract<Identification, { kind: 'identified' }>;
type Organization = Extract<Tenancy, { kind: 'organization' }>;

/** Who asks for what, once both identities are proven. */
interface Case {
  readonly pod: VerifiedPod;
  readonly organization: Organization;
  readonly server: McpServer;
  readonly policy: EffectivePolicy;
  /** For the proxy. */
  readonly rules: { readonly userRules?: UserRules };
  readonly user: Identified;
  readonly subjectKey: string;
  readonly address: KeyAddress;
  /** Once it is known to be theirs. */
  readonly userKey?: UserKey | undefined;
}

/** The key that goes out. */
interface Chosen {
  readonly version: number;
  /** When it may not be used any more. */
  readonly endsAtMs: number;
  readonly keySource?: 'shared';
}

const denyMessages: Readonly<Record<DenyReason, string>> = {
  NamespaceHasNoOrganization: 'The namespace of this server belongs to no organization, or to more than one.',
  ServerNotFound: 'There is no McpServer of this name.',
  KeyUnreadable: 'The stored key cannot be read.',
  AuditUnavailable: 'The audit log takes no events at the moment, so no key is handed out. Try again.',
};

/** Answers lease requests. The order of `lease` is the order in which anything is believed: nothing is looked up before it is due. */
export class LeaseService {
  readonly #options: LeaseServiceOptions;

  constructor(options: LeaseServiceOptions) {
    this.#options = options;
  }

  /** @throws BrokerError when there is no decision about a user */
  async lease(request: LeaseRequest, podToken: string | undefined): Promise<LeaseAnswer> {
    const { podGate, userGate, tenancy, keyStore } = this.#options;
    const { server: ref, credential } = request;
    const pod = await podGate.admit({ token: podToken, server: ref, purpose: 'leasing', action: 'lease' });

    const organization = tenancy.organizationOf(ref.namespace);
    if (organization.kind !== 'organization') return this.#deny(pod, { server: ref }, 'NamespaceHasNoOrganization');
    const server = this.#options.sources.mcpServers.store.get(ref.namespace, ref.name);
    const place = { server: ref, organization: organization.name };
    const serverUid = server?.metadata.uid;
    if (server === undefined || serverUid === undefined) return this.#deny(pod, place, 'ServerNotFound');

    if (this.#options.probes.isFor(credential)) {
      // Whichever headers the key has: they were chosen when the probe began.
      const headers = effectiveHeaders(bind(server, [], { kind: 'everyUser' }));
      return this.#options.probes.lease({ pod, organization: organization.name, server, headers, credential });
    }
    const issuers = withResource(organization.issuers, this.#options.resourceOf(ref));
    const budget = subjectBudget(pod, ref);
    const user =
      this.#options.accessTokens.identify(credential, ref, organization) ??
      (await this.#limited(pod, place, () => userGate.identify(budget, credential, issuers)));
    if (user.kind === 'unauthenticated') return this.#refuseUser(pod, place, user);
    const subjectKey = keyStore.subjectKeyOf(user.subject);
    await this.#limited(pod, { ...place, subject: user.subject }, () => userGate.admitSubject(budget, subjectKey));

    const address = { organization: organization.name, server: ref, serverUid, subject: user.subject };
    const policies = this.#options.sources.userKeyPolicies.store.listNamespace(ref.namespace);
    const policy = effectivePolicy(server, policies, user);
    const rules = userRules(server, policies, user);
    const alone = rules === undefined ? {} : { userRules: rules };
    return this.#decide({ pod, organization, server, policy, rules: alone, user, subjectKey, address });
  }

  /** Who has no key yet may learn what the server offers, where its author has given a key for that. */
  async #decide(asked: Case): Promise<LeaseAnswer> {
    const answer = await this.#decideKey(asked);
    return await this.#options.discovery.addTo(answer, { ...asked, headers: asked.policy.headers });
  }

  async #decideKey(asked: Case): Promise<LeaseAnswer> {
    const { keyStore, sources } = this.#options;
    const { server, address, user } = asked;
    const use = keyUse(server, asked.organization.plan);
    const name = keyStore.userKeyNameOf(address);
    const userKey = sources.userKeys.store.get(address.server.namespace, name);
    const nowMs = this.#options.now().getTime();
    const facts = { userKey, server, subject: user.subject, policy: asked.policy, nowMs };
    if (!takesOwnKeys(use)) {
      if (mayShare(facts)) return this.#share(asked, use);
      return this.#refuse(asked, 'pendingApproval', asked.policy.headers);
    }
    const opening = decideOpening(facts);
    if (userKey !== undefined && opening.kind !== 'mismatch') this.#remember(userKey, user);
    switch (opening.kind) {
      case 'mismatch':
        return this.#denyKey(asked);
      case 'refused':
        return this.#refuse(asked, opening.standing, asked.policy.headers);
      case 'nothingStored':
        // A record without a key is one of a key that goes or comes: whoever has it is not taken for somebody without.
        if (use === 'ownOrShared' && isWithoutOwnKey(userKey)) return this.#share(asked, use);
        return this.#release(asked, undefined, Infinity);
      case 'open':
        return this.#open({ ...asked, userKey }, opening);
      default:
        return opening satisfies never;
    }
  }

  #remember(userKey: UserKey, { groups }: Identified): void {
    const { subjects, sources } = this.#options;
    subjects.seen(userKey, groups, sources.userKeyPolicies.store.listNamespace(userKey.metadata.namespace ?? ''));
  }

  async #open(asked: Case, { versionMin, userKey }: Extract<Opening, { kind: 'open' }>): Promise<LeaseAnswer> {
    try {
      using key = await this.#options.keyStore.open(asked.address, versionMin);
      if (key === undefined) return await this.#release(asked, undefined, Infinity);
      const nowMs = this.#options.now().getTime();
      const names = key.headers.map(({ name }) => name);
      const ending = withDetected(key, names, userKey);
      const standing = keyStanding({ userKey, policy: asked.policy, key: ending, nowMs });
      if (isRefused(standing)) return this.#refuse(asked, standing, asked.policy.headers);
      const age = keyAge(ending, asked.policy.expiry, nowMs);
      const endsAtMs = Math.min(blockedAtMs(age) ?? Infinity, approvalEndsAtMs(userKey, asked.policy.approval));
      return await this.#release(asked, key, endsAtMs);
    } catch (error) {
      if (isStoreUnavailable(error)) throw new BrokerError('ERR_STORE_UNAVAILABLE', { cause: error });
      if (!(error instanceof KeyStoreError)) throw error;
      const { namespace, name } = asked.address.server;
      this.#options.log.error('a stored key does not open', { code: error.code, namespace, server: name });
      return this.#denyKey(asked);
    }
  }

  /** `endsAtMs`: when the key may not be used any more. */
  async #release(asked: Case, key: OpenedKey | undefined, endsAtMs: number): Promise<LeaseAnswer> {
    const stored = key?.headers ?? [];
    const release = decideRelease(
      asked.policy.headers,
      stored.map(({ name }) => name),
    );
    if (release.kind === 'missing')
      return this.#refuse(asked, key === undefined ? 'missing' : 'incomplete', release.headers);
    const headers = toLease(release.headers, stored);
    if (headers === undefined) return this.#denyKey(asked);
    return this.#grant(asked, headers, { version: key?.version ?? 0, endsAtMs });
  }

  async #share(asked: Case, use: KeyUse): Promise<LeaseAnswer> {
    const decided = await this.#options.shared.decide({ ...asked, headers: asked.policy.headers, use });
    if (decided.kind === 'refused') return this.#answerRefusal(asked, decided.explained);
    using key = decided.key;
    return await this.#grant(asked, decided.headers, {
      version: key.version,
      endsAtMs: Infinity,
      keySource: 'shared',
    });
  }

  /** No audit, no key: the event is on disk before there is a body that holds the key. */
  async #grant(
    asked: Case,
    headers: readonly HeaderToLease[],
    { version: keyVersion, endsAtMs, keySource }: Chosen,
  ): Promise<LeaseAnswer> {
    const { newId, now, log, observer } = this.#options;
    const leaseId = newId();
    const source = keySource === undefined ? {} : { keySource };
    const used = headers.length === 0 ? {} : { keySource: keySource ?? ('user' as const) };
    try {
      await this.#record(asked, { leaseId, keyVersion, ...used, headerNames: headers.map(({ name }) => name) });
    } catch (error) {
      log.error('a lease could not be recorded', { code: error instanceof AuditError ? error.code : 'unknown' });
      return keyless({
        decision: 'denied',
        reason: 'AuditUnavailable',
        message: denyMessages.AuditUnavailable,
        subject: asked.user.subject,
        ...asked.rules,
      });
    }
    const { subject, expiresAtMs } = asked.user;
    const { subjectKey, pod, address } = asked;
    const ttlMs = leaseTtlMs(leaseTtlMsMax, Math.min(expiresAtMs ?? Infinity, endsAtMs), now().getTime());
    const given = { server: address.server, subjectKey, keyVersion, podUid: pod.uid, ...source };
    const receipt = this.#options.receipts.issue(given);
    const terms = { decision: 'granted', leaseId, subject, subjectKey, keyVersion, ...source, ttlMs, receipt } as const;
    observer.keyReleased(used.keySource ?? 'none');
    if (used.keySource === 'user' && asked.userKey !== undefined) this.#options.uses.used(asked.userKey);
    const open = { ...terms, ...revokedUpTo(asked.userKey), ...asked.rules, ...credentialLeft(asked.user, now()) };
    return { kind: 'granted', body: encodeGranted(open, headers) };
  }

  #record(
    { pod, organization, address, user }: Case,
    lease: Pick<LeaseEvent, 'leaseId' | 'keyVersion' | 'keySource' | 'headerNames'>,
  ): Promise<void> {
    const { audit, newId, now } = this.#options;
    return audit.append({
      ...lease,
      id: newId(),
      at: now().toISOString(),
      type: 'lease',
      organization: organization.name,
      server: address.server,
      subject: user.subject,
      ...leaseholderOnRecord(pod, address.server),
    });
  }

  /** Runs one of the limited steps; a limit that is reached goes on record. */
  async #limited<T>(pod: VerifiedPod, place: Place, step: () => T | Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      if (error instanceof BrokerError) {
        const { code, message } = error;
        await this.#options.denials.record(pod.uid, { ...place, action: 'lease', reason: code, message });
      }
      throw error;
    }
  }

  async #refuseUser(
    pod: VerifiedPod,
    place: Place,
    { reason, message }: Extract<Identification, { kind: 'unauthenticated' }>,
  ): Promise<LeaseAnswer> {
    await this.#options.denials.record(pod.uid, { ...place, action: 'lease', reason, message });
    return keyless({ decision: 'unauthenticated', reason, message });
  }

  #refuse(asked: Case, kind: RefusedKind, headers: readonly EffectiveHeader[]): LeaseAnswer {
    const { subject } = asked.user;
    return this.#answerRefusal(asked, {
      decision: keyStates[kind].lease,
      ...explainRefusal(kind, { server: asked.server, subject }, headers),
    });
  }

  #answerRefusal({ user, subjectKey, rules }: Case, explained: Explained | ExplainedRefusal): LeaseAnswer {
    return keyless({
      ...explained,
      subject: user.subject,
      subjectKey,
      ttlMs: brokerLimits.refusalTtlMs,
      ...rules,
      ...credentialLeft(user, this.#options.now()),
    });
  }

  async #denyKey({ pod, organization, address, rules, user: { subject } }: Case): Promise<LeaseAnswer> {
    const reason = 'KeyUnreadable';
    const message = denyMessages[reason];
    const place = { server: address.server, organization: organization.name, subject };
    await this.#options.denials.record(pod.uid, { ...place, action: 'lease', reason, message });
    const what = describeSetCommand(address.server, subject);
    return keyless({ decision: 'denied', reason, message: what, subject, ...rules });
  }

  async #deny(pod: VerifiedPod, place: Place, reason: DenyReason): Promise<LeaseAnswer> {
    const message = denyMessages[reason];
    await this.#options.denials.record(pod.uid, { ...place, action: 'lease', reason, message });
    const { subject } = place;
    return keyless({ decision: 'denied', reason, message, ...(subject === undefined ? {} : { subject }) });
  }
}

/** What was opened with a key that was revoked, and whose user has another one by now. */
function revokedUpTo(userKey: UserKey | undefined): { readonly revokedUpTo?: number } {
  const version = userKey === undefined ? 0 : revokedVersion(userKey);
  return version === 0 ? {} : { revokedUpTo: version };
}

/** A duration, as clocks need not agree. */
function credentialLeft({ expiresAtMs }: Identified, now: Date): { readonly credentialMs?: number } {
  return expiresAtMs === undefined ? {} : { credentialMs: Math.max(0, Math.floor(expiresAtMs - now.getTime())) };
}

/** Nobody knows what is stored right now, which says nothing of the key. */
function isStoreUnavailable(error: unknown): boolean {
  return error instanceof KubeError || (error instanceof KeyStoreError && error.code === 'ViewStale');
}

type Explained = { readonly decision: (typeof keyStates)[RefusedKind]['lease'] } & ReturnType<typeof explainRefusal>;

interface Place {
  readonly server: LeaseRequest['server'];
  readonly organization?: string;
  readonly subject?: Subject;
}

function keyless(response: KeylessResponse): LeaseAnswer {
  return { kind: 'keyless', response };
}
