import type { KeyObject } from 'node:crypto';

import type { HeaderField } from '#cli/contract/header-list.ts';
import type { RevokeAnswer, RevokedKey, UserKeyResponse } from '#cli/contract/responses.ts';
import type { RevokeControl } from '#cli/contract/revoke-control.ts';
import { kubernetesSubjectIssuer } from '#contract/set-command.ts';
import type { Subject } from '#contract/lease.ts';
import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKeyRequest } from '#crds/v1alpha1/generated/user-key-request.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import type { Store } from '#operator/kube/informer.ts';
import { userKeys } from '#operator/kube/keyring-resources.ts';
import type { KeyStore } from '#operator/keystore/key-store.ts';
import type { AccessReviews } from '#operator/rights/access-reviews.ts';
import { grantedOf } from '#operator/rights/permission.ts';

import { keysOfUser } from './choose-keys.ts';
import { fingerprintsOf, holdsLeaked, type Leaked } from './find-leaked.ts';
import { revocationRefusals } from './refusals.ts';
import { type KeyRevokerOptions, type KeyToRevoke, revokeKey } from './revoke-key.ts';

/** Who asks for what, as intake found out. */
export interface RevocationOrderOf {
  readonly control: RevokeControl;
  /** A value that has leaked, or nothing. */
  readonly values: readonly HeaderField[];
  readonly namespace: string;
  readonly organization: string;
  /** Whose key it is; undefined where somebody acts by their rights in the cluster. */
  readonly subject: Subject | undefined;
}

export interface RevocationOrdersOptions extends KeyRevokerOptions {
  readonly client: KeyRevokerOptions['client'] & Pick<KubeClient, 'list'>;
  readonly keyStore: Pick<KeyStore, 'destroy' | 'userKeyNameOf' | 'find' | 'open'>;
  readonly mcpServers: Pick<Store<McpServer>, 'get' | 'listNamespace'>;
  readonly rights: Pick<AccessReviews, 'ask'>;
  readonly fingerprintKeyOf: (organization: string) => KeyObject;
}

/** A refusal is an answer; `isDenial`: it goes on record. */
export interface Revocations {
  readonly response: UserKeyResponse;
  readonly isDenial: boolean;
}

/** Keys in one answer. */
export const revokedKeysMax = 100;
/** Keys that are opened or revoked at a time. */
const keysAtATime = 16;

interface Case {
  readonly order: RevocationOrderOf;
  readonly request: UserKeyRequest;
}

/** Where it may be done. */
interface Reach {
  /** Undefined: every server, also one that is gone. */
  readonly servers: ReadonlySet<string>;
  readonly leftOut: readonly string[];
}

interface Found {
  readonly userKey: UserKey;
  readonly fingerprint?: string;
}

/** Puts keys out of use. Each step may run twice. */
export class RevocationOrders {
  readonly #options: RevocationOrdersOptions;

  constructor(options: RevocationOrdersOptions) {
    this.#options = options;
  }

  /** @throws AuditError, KubeError, KeyStoreError */
  async carryOut(order: RevocationOrderOf, request: UserKeyRequest): Promise<Revocations> {
    const { control, subject } = order;
    switch (control.whose) {
      case 'own':
        if (subject === undefined) return answer(revocationRefusals.malformed);
        return answer(await this.#own({ order, request }, subject, control.server ?? ''));
      case 'user':
      case 'everybody':
        return await this.#ofOthers({ order, request });
    }
  }

  async #own(asked: Case, subject: Subject, name: string): Promise<UserKeyResponse> {
    const { client, keyStore } = this.#options;
    const server = { namespace: asked.order.namespace, name };
    const userKey = await client.get(userKeys, {
      namespace: server.namespace,
      name: keyStore.userKeyNameOf({ server, subject }),
    });
    const found = userKey === undefined ? [] : [{ userKey }];
    return await this.#revoke(asked, found, { leftOut: [], unread: 0 });
  }

  /** By rights in the cluster alone: whoever answers for a leak need not be a user of any server. */
  async #ofOthers(asked: Case): Promise<Revocations> {
    const { order, request } = asked;
    const leaked = leakedOf(order);
    if (leaked === 'malformed') return answer(revocationRefusals.malformed);
    const listed = await this.#userKeysOf(order);
    const reach = await this.#reachOf(asked, listed);
    if ('response' in reach) return reach;
    const within = listed.filter(({ spec }) => reach.servers.has(spec.serverRef.name));
    const { user } = order.control;
    const chosen = user === undefined ? ({ kind: 'keys', userKeys: within } as const) : keysOfUser(within, user);
    if (chosen.kind === 'ambiguous') return answer(revocationRefusals.ambiguous(user ?? '', chosen.users));
    if (user !== undefined && chosen.userKeys.length === 0) {
      return answer(revocationRefusals.nothingOf(user, order.namespace, order.control.server));
    }
    const { leftOut } = reach;
    if (leaked === undefined) {
      const found = chosen.userKeys.map((userKey) => ({ userKey }));
      return answer(await this.#revoke({ order, request }, found, { leftOut, unread: 0 }));
    }
    return answer(await this.#revokeLeaked(asked, { leaked, within: chosen.userKeys, leftOut }));
  }

  /** From the API server itself: a cache that has fallen behind would leave keys in use. */
  async #userKeysOf({ namespace, control }: RevocationOrderOf): Promise<readonly UserKey[]> {
    const { client, keyStore } = this.#options;
    const all = await client.list(userKeys, { namespace });
    return all.filter(({ metadata, spec }) => {
      const { name } = spec.serverRef;
      if (control.server !== undefined && name !== control.server) return false;
      // One that somebody made up says nothing about its subject's key.
      return metadata.name === keyStore.userKeyNameOf({ server: { namespace, name }, subject: spec.subject });
    });
  }

  /** Nobody hears of servers that they have no right on whether there is a key, or how many. */
  async #reachOf({ order, request }: Case, listed: readonly UserKey[]): Promise<Reach | Revocations> {
    const { namespace, control } = order;
    const { requester } = request.spec;
    const declared = this.#options.mcpServers.listNamespace(namespace).map(({ metadata }) => metadata.name);
    const names = new Set([...declared, ...listed.map(({ spec }) => spec.serverRef.name)]);
    const wanted = control.server === undefined ? [...names] : [control.server];
    const rights = wanted.map((server) => ({ verb: 'revoke', namespace, server }) as const);
    const granted = await grantedOf(this.#options.rights, requester, rights);
    const whole = {
      verb: 'revoke',
      namespace,
      ...(control.server === undefined ? {} : { server: control.server }),
    } as const;
    if (granted === 'unknown') return answer(revocationRefusals.rightUnknown(whole));
    const servers = new Set(granted.map(({ server = '' }) => server));
    if (servers.size === 0) {
      return { response: revocationRefusals.rightMissing(requester.username, whole), isDenial: true };
    }
    if (control.server !== undefined && !names.has(control.server)) {
      return answer(revocationRefusals.serverNotFound({ namespace, name: control.server }, declared));
    }
    return { servers, leftOut: wanted.filter((server) => !servers.has(server)) };
  }

  async #revokeLeaked(
    asked: Case,
    {
      leaked,
      within,
      leftOut,
    }: { readonly leaked: Leaked; readonly within: readonly UserKey[]; readonly leftOut: readonly string[] },
  ): Promise<UserKeyResponse> {
    const { namespace, organization } = asked.order;
    const { keyStore, mcpServers, fingerprintKeyOf } = this.#options;
    const fingerprintKey = fingerprintKeyOf(organization);
    const declared = mcpServers.listNamespace(namespace);
    const servers = new Map(declared.map((server) => [server.metadata.name, server]));
    const fingerprints = fingerprintsOf(fingerprintKey, leaked, declared);
    const search = { keyStore, fingerprintKey, fingerprints };
    const findings = await inBatches(within, async (userKey) => {
      const { serverRef, subject } = userKey.spec;
      const server = servers.get(serverRef.name);
      // Of a server that is gone no key is handed out.
      if (server === undefined) return { kind: 'differs' } as const;
      const address = {
        organization,
        server: { namespace, name: serverRef.name },
        serverUid: server.metadata.uid ?? '',
        subject,
      };
      const finding = await holdsLeaked(search, userKey, address);
      return finding.kind === 'holds' ? { ...finding, userKey } : finding;
    });
    const found = findings.flatMap((finding) =>
      finding.kind === 'holds' ? [{ userKey: finding.userKey, fingerprint: finding.fingerprint }] : [],
    );
    const unread = findings.filter(({ kind }) => kind === 'unread').length;
    return await this.#revoke(asked, found, {
      leftOut,
      unread,
      ...fingerprintField(found[0]?.fingerprint ?? fingerprints[0]),
    });
  }

  async #revoke(
    { order, request }: Case,
    found: readonly Found[],
    rest: Pick<RevokeAnswer, 'leftOut' | 'unread' | 'fingerprint'>,
  ): Promise<UserKeyResponse> {
    const { metadata, spec } = request;
    const revocation = {
      actor: spec.requester.username,
      orderedAt: new Date(metadata.creationTimestamp ?? this.#options.now()),
      reason: order.control.reason,
      requestUid: metadata.uid ?? '',
    };
    const revoked: readonly RevokedKey[] = await inBatches(found, ({ userKey, fingerprint }) =>
      revokeKey(this.#options, this.#keyOf(order, userKey), { ...revocation, fingerprint }),
    );
    const { issuer, name } = order.subject ?? { issuer: kubernetesSubjectIssuer, name: spec.requester.username };
    const listed = revoked.slice(0, revokedKeysMax);
    const said = { operation: 'revoke', revoked: listed, more: revoked.length - listed.length, ...rest } as const;
    return { v: 1, outcome: 'ok', subject: { issuer, name }, ...said };
  }

  #keyOf({ namespace, organization }: RevocationOrderOf, userKey: UserKey): KeyToRevoke {
    const { serverRef, subject } = userKey.spec;
    const server = { namespace, name: serverRef.name };
    const address = { server, subject };
    const serverUid = this.#options.mcpServers.get(namespace, serverRef.name)?.metadata.uid;
    const stored =
      serverUid === undefined
        ? undefined
        : this.#options.keyStore.find({ ...address, organization, serverUid })?.version;
    return { userKey, address, organization, stored };
  }
}

function answer(response: UserKeyResponse): Revocations {
  return { response, isDenial: false };
}

function fingerprintField(fingerprint: string | undefined): { readonly fingerprint?: string } {
  return fingerprint === undefined ? {} : { fingerprint };
}

/** Everybody's keys of every server are revoked by nobody at once: there has to be a server or a value. */
function leakedOf({ control, values }: RevocationOrderOf): Leaked | 'malformed' | undefined {
  const [value, ...more] = values;
  const { fingerprint, whose, server } = control;
  if (more.length > 0 || (value !== undefined && (fingerprint !== undefined || whose !== 'everybody')))
    return 'malformed';
  if (value !== undefined) return { kind: 'value', value: value.value };
  if (fingerprint !== undefined) return { kind: 'fingerprint', fingerprint };
  return whose === 'everybody' && server === undefined ? 'malformed' : undefined;
}

async function inBatches<T, R>(all: readonly T[], work: (one: T) => Promise<R>): Promise<readonly R[]> {
  const results: R[] = [];
  for (let start = 0; start < all.length; start += keysAtATime) {
    results.push(...(await Promise.all(all.slice(start, start + keysAtATime).map(work))));
  }
  return results;
}
