import type { UserKeyOrder } from '#cli/contract/user-key-request.ts';
import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import type { UserKeyRequest } from '#crds/v1alpha1/generated/user-key-request.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import type { Subject } from '#contract/lease.ts';
import type { Identification, TrustedIssuer, UserIdentifier } from '#operator/identity/identification.ts';
import { kubernetesSubjectIssuer } from '#contract/set-command.ts';
import type { Store } from '#operator/kube/informer.ts';
import type { KeyAddress, KeyStore, StoredKey } from '#operator/keystore/key-store.ts';
import { versionToOpen } from '#operator/keystore/revoked.ts';
import { type EffectivePolicy, effectivePolicy } from '#operator/policy/effective-policy.ts';
import type { AccessReviews, ClusterUser } from '#operator/rights/access-reviews.ts';
import { grantedOf, type Permission, permissionFor } from '#operator/rights/permission.ts';
import { type KeyUse, keyUse } from '#operator/shared-keys/key-use.ts';
import { namedGroups } from '#operator/subjects/groups-on-record.ts';
import type { Tenancy, TenancyIndex } from '#operator/tenancy/tenancy.ts';

import { rightsOf } from './rights-of-orders.ts';

/** Whom the operator takes the requester for. */
export type Requester =
  | { readonly kind: 'identified'; readonly subject: Subject; readonly groups: readonly string[] }
  | { readonly kind: 'unauthenticated'; readonly message: string }
  /** They showed no token, and the organization does not take the API server's word for its users. */
  | { readonly kind: 'kubernetesUser' }
  | { readonly kind: 'unavailable' };

/** One server as the order is about it, with what is stored for the subject. */
export interface ObservedServer extends EffectivePolicy {
  readonly server: McpServer;
  readonly use: KeyUse;
  /** When it was looked at. */
  readonly now: Date;
  /** Absent also when it is older than what is on record, or revoked, because it is not used then. */
  readonly stored: StoredKey | undefined;
  readonly userKey: UserKey | undefined;
  readonly address: KeyAddress;
  /** Of those that the user is in, the ones that policies name. */
  readonly groups: readonly string[];
}

/** What an order is decided from. */
export interface ObservedOrder {
  readonly namespace: string;
  readonly order: UserKeyOrder;
  readonly tenancy: Tenancy;
  readonly requester: Requester;
  /** The user of the cluster who made the request, whoever the order is for. */
  readonly username: string;
  /** What they may do. */
  readonly permission: Permission;
  /** The namespace's servers, by name; for `list` those that may be used. Empty while organization or requester are not settled. */
  readonly servers: readonly ObservedServer[];
  /** UserKeys of the subject whose server is gone, by the server's name. */
  readonly orphans: ReadonlyMap<string, UserKey>;
}

export interface OrderObserver {
  readonly sources: {
    readonly mcpServers: Pick<Store<McpServer>, 'get' | 'listNamespace'>;
    readonly userKeyPolicies: Pick<Store<UserKeyPolicy>, 'listNamespace'>;
    readonly userKeys: Pick<Store<UserKey>, 'get' | 'listNamespace'>;
  };
  readonly tenancy: TenancyIndex;
  readonly identifier: UserIdentifier;
  readonly rights: Pick<AccessReviews, 'ask'>;
  readonly keyStore: Pick<KeyStore, 'find' | 'userKeyNameOf'>;
  readonly now: () => Date;
}

/** Reads caches, and asks who the requester is and what they may do. */
export async function observeOrder(
  from: OrderObserver,
  request: UserKeyRequest,
  order: UserKeyOrder,
): Promise<ObservedOrder> {
  const namespace = request.metadata.namespace ?? '';
  const tenancy = from.tenancy.organizationOf(namespace);
  const { username } = request.spec.requester;
  const about = { namespace, order, tenancy, username };
  const nobody = { ...about, permission: granted, servers: [], orphans: new Map<string, UserKey>() };
  if (tenancy.kind !== 'organization') return { ...nobody, requester: { kind: 'kubernetesUser' } };
  const requester = await identify(from.identifier, tenancy.issuers, {
    token: order.control.token,
    ...request.spec.requester,
  });
  if (requester.kind !== 'identified') return { ...nobody, requester };
  const { subject, groups } = requester;
  const owner = { namespace, organization: tenancy, subject, groups };
  const servers = observeServers(from, owner);
  const seen = await permitted(from.rights, request.spec.requester, { namespace, control: order.control, servers });
  return { ...nobody, requester, ...seen, orphans: orphansOf(from, owner, servers) };
}

const granted: Permission = { kind: 'granted' };

interface Asked {
  readonly namespace: string;
  readonly control: UserKeyOrder['control'];
  readonly servers: readonly ObservedServer[];
}

async function permitted(
  rights: OrderObserver['rights'],
  user: ClusterUser,
  { namespace, control, servers }: Asked,
): Promise<Pick<ObservedOrder, 'permission' | 'servers'>> {
  if (control.operation !== 'list') {
    return { permission: await permissionFor(rights, user, rightsOf(control, namespace)), servers };
  }
  const withoutKey = servers.filter(({ userKey }) => userKey === undefined);
  const wanted = withoutKey.map(({ address }) => ({ verb: 'use', namespace, server: address.server.name }) as const);
  const granting = await grantedOf(rights, user, wanted);
  if (granting === 'unknown')
    return { permission: { kind: 'unknown', right: { verb: 'use', namespace } }, servers: [] };
  const names = new Set(granting.map(({ server }) => server));
  // Who has a key sees it, so that they can delete it.
  const listed = servers.filter(({ userKey, address }) => userKey !== undefined || names.has(address.server.name));
  return { permission: granted, servers: listed };
}

interface Credentials {
  readonly token: string | undefined;
  /** Checked by the API server: the admission policy compares it with who made the request. */
  readonly username: string;
  readonly groups: readonly string[];
}

async function identify(
  identifier: UserIdentifier,
  issuers: readonly TrustedIssuer[],
  { token, username, groups }: Credentials,
): Promise<Requester> {
  if (token === undefined) {
    if (!issuers.some((issuer) => issuer.type === 'Kubernetes')) return { kind: 'kubernetesUser' };
    return { kind: 'identified', subject: { issuer: kubernetesSubjectIssuer, id: username, name: username }, groups };
  }
  try {
    return requesterOf(await identifier.identify(token, issuers));
  } catch {
    return { kind: 'unavailable' };
  }
}

function requesterOf(identification: Identification): Requester {
  switch (identification.kind) {
    case 'identified':
      return { kind: 'identified', subject: identification.subject, groups: identification.groups };
    case 'unauthenticated':
      if (identification.reason === 'IssuerUnavailable') return { kind: 'unavailable' };
      return { kind: 'unauthenticated', message: identification.message };
  }
}

interface Owner {
  readonly namespace: string;
  readonly organization: Extract<Tenancy, { kind: 'organization' }>;
  readonly subject: Subject;
  readonly groups: readonly string[];
}

function observeServers(from: OrderObserver, owner: Owner): readonly ObservedServer[] {
  const { namespace, organization, subject } = owner;
  const policies = from.sources.userKeyPolicies.listNamespace(namespace);
  const groups = namedGroups(owner.groups, policies);
  const now = from.now();
  return from.sources.mcpServers
    .listNamespace(namespace)
    .toSorted((left, right) => (left.metadata.name < right.metadata.name ? -1 : 1))
    .map((server) => {
      const ref = { namespace, name: server.metadata.name };
      const address = { organization: organization.name, server: ref, serverUid: server.metadata.uid ?? '', subject };
      const userKey = from.sources.userKeys.get(namespace, from.keyStore.userKeyNameOf(address));
      const stored = usable(from.keyStore.find(address), userKey);
      const effective = effectivePolicy(server, policies, owner);
      const use = keyUse(server, organization.plan);
      return { ...effective, server, use, now, stored, userKey, address, groups };
    });
}

function usable(stored: StoredKey | undefined, userKey: UserKey | undefined): StoredKey | undefined {
  const versionMin = userKey === undefined ? undefined : versionToOpen(userKey);
  return stored !== undefined && versionMin !== undefined && stored.version >= versionMin ? stored : undefined;
}

function orphansOf(
  from: OrderObserver,
  { namespace, subject }: Owner,
  servers: readonly ObservedServer[],
): ReadonlyMap<string, UserKey> {
  const known = new Set(servers.map(({ server }) => server.metadata.name));
  const mine = from.sources.userKeys.listNamespace(namespace).filter(({ metadata, spec }) => {
    if (known.has(spec.serverRef.name)) return false;
    const server = { namespace, name: spec.serverRef.name };
    return metadata.name === from.keyStore.userKeyNameOf({ server, subject });
  });
  return new Map(mine.map((userKey) => [userKey.spec.serverRef.name, userKey]));
}
