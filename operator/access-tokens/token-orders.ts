import { createHash } from 'node:crypto';

import type { TokenControl } from '#cli/contract/request-control.ts';
import type { TokenView, UserKeyResponse } from '#cli/contract/responses.ts';
import type { Subject } from '#contract/lease.ts';
import type { AccessToken } from '#crds/v1alpha1/generated/access-token.ts';
import type { UserKeyRequest } from '#crds/v1alpha1/generated/user-key-request.ts';
import { apiVersion } from '#crds/v1alpha1/names.ts';
import type { AuditLog } from '#operator/audit/audit-log.ts';
import { uuidOf } from '#operator/audit/event-ids.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { isKubeError } from '#operator/kube/errors.ts';
import type { Store } from '#operator/kube/informer.ts';
import { accessTokens } from '#operator/kube/keyring-resources.ts';

import { tokenEvent } from './token-event.ts';
import { tokenRefusals } from './token-refusals.ts';
import { accessTokenLimits } from './token-limits.ts';

/** Who asks, as the operator found out, and what the organization allows. */
export interface TokenOrder {
  readonly control: TokenControl;
  readonly namespace: string;
  readonly organization: string;
  readonly subject: Subject;
  readonly groups: readonly string[];
  /** Undefined: the organization has no access tokens. */
  readonly maxAgeMs: number | undefined;
  /** McpServers of the namespace. */
  readonly serverNames: readonly string[];
}

export interface TokenOrdersOptions {
  readonly client: Pick<KubeClient, 'create' | 'delete'>;
  readonly tokens: Pick<Store<AccessToken>, 'get' | 'listNamespace'>;
  readonly audit: Pick<AuditLog, 'append'>;
  readonly now: () => Date;
}

/** Carries out what users order about their own access tokens. Each step may run twice. */
export class TokenOrders {
  readonly #options: TokenOrdersOptions;

  constructor(options: TokenOrdersOptions) {
    this.#options = options;
  }

  /** @throws AuditError, KubeError */
  carryOut(order: TokenOrder, request: UserKeyRequest): Promise<UserKeyResponse> {
    const { control } = order;
    switch (control.operation) {
      case 'token-list':
        return Promise.resolve({ ...ok(order), operation: 'token-list', tokens: this.#ownOf(order).map(viewOf) });
      case 'token-create':
        return this.#create(order, { control, request });
      case 'token-revoke':
        return this.#revoke(order, { id: control.id, request });
    }
  }

  #ownOf({ namespace, subject }: TokenOrder): readonly AccessToken[] {
    return this.#options.tokens
      .listNamespace(namespace)
      .filter(({ spec }) => isOwner(spec.owner, subject))
      .toSorted((left, right) => (left.spec.expiresAt < right.spec.expiresAt ? -1 : 1));
  }

  async #create(order: TokenOrder, { control, request }: Creation): Promise<UserKeyResponse> {
    const token = tokenFor(order, { control, request });
    const known = this.#options.tokens.get(order.namespace, token.metadata.name);
    if (known === undefined) {
      const refusal = refusalOf(order, control, this.#ownOf(order).length);
      if (refusal !== undefined) return refusal;
    }
    const made = await this.#make(token);
    if (made === undefined) return tokenRefusals.hashTaken;
    const { audit, now } = this.#options;
    const id = uuidOf(`token.created/${made.metadata.uid}`);
    const actor = request.spec.requester.username;
    await audit.append(tokenEvent(made, { type: 'token.created', id, at: now(), actor }));
    return { ...ok(order), operation: 'token-create', token: viewOf(made) };
  }

  /** What an attempt before this one has made counts as made; undefined: it is somebody else's. */
  async #make(token: AccessToken): Promise<AccessToken | undefined> {
    try {
      return await this.#options.client.create(accessTokens, token);
    } catch (error) {
      if (!isKubeError(error, 'AlreadyExists')) throw error;
      const { namespace, name } = token.metadata;
      const known = this.#options.tokens.get(namespace, name);
      // The cache is behind: the whole is tried again.
      if (known === undefined) throw error;
      const isSame = known.spec.hash === token.spec.hash && isOwner(known.spec.owner, token.spec.owner);
      return isSame ? known : undefined;
    }
  }

  async #revoke(order: TokenOrder, { id, request }: Revocation): Promise<UserKeyResponse> {
    const { client, audit, now } = this.#options;
    const token = this.#ownOf(order).find(({ metadata }) => metadata.name === id);
    if (token === undefined) return { ...ok(order), operation: 'token-revoke', id, revoked: false };
    const { namespace = '', name, uid } = token.metadata;
    const actor = request.spec.requester.username;
    await audit.append(
      tokenEvent(token, { type: 'token.revoked', id: uuidOf(`token.revoked/${uid}`), at: now(), actor }),
    );
    await client.delete(accessTokens, { namespace, name }, uid === undefined ? {} : { preconditionUid: uid });
    return { ...ok(order), operation: 'token-revoke', id, revoked: true };
  }
}

interface Creation {
  readonly control: Extract<TokenControl, { operation: 'token-create' }>;
  readonly request: UserKeyRequest;
}

interface Revocation {
  readonly id: string;
  readonly request: UserKeyRequest;
}

/** Pure. Why the token is not made. */
function refusalOf(order: TokenOrder, { servers, lifeSeconds }: Creation['control'], ownCount: number) {
  const { maxAgeMs, serverNames, groups } = order;
  if (maxAgeMs === undefined) return tokenRefusals.notEnabled;
  if (lifeSeconds !== undefined && lifeSeconds * 1_000 > maxAgeMs) return tokenRefusals.tooOld(maxAgeMs);
  if (ownCount >= accessTokenLimits.perUserMax) return tokenRefusals.tooMany;
  if (groups.length > accessTokenLimits.groupsMax) return tokenRefusals.tooManyGroups;
  const missing = servers.find((name) => !serverNames.includes(name));
  return missing === undefined ? undefined : tokenRefusals.serverNotFound(missing, order.namespace);
}

/** Pure. The same for each attempt at one request. */
function tokenFor(order: TokenOrder, { control, request }: Creation): AccessToken {
  const { namespace, organization, subject, groups, maxAgeMs = 0 } = order;
  const { hash, servers, lifeSeconds, title } = control;
  const bornAtMs = Date.parse(request.metadata.creationTimestamp ?? '') || 0;
  const lifeMs = lifeSeconds === undefined ? maxAgeMs : lifeSeconds * 1_000;
  const { issuer, id, name } = subject;
  return {
    apiVersion,
    kind: 'AccessToken',
    metadata: { namespace, name: nameOf(hash) },
    spec: {
      organization,
      owner: { issuer, id, name },
      groups: groups.filter((group) => group !== '' && group.length <= accessTokenLimits.groupCharsMax),
      servers,
      hash,
      expiresAt: new Date(bornAtMs + lifeMs).toISOString(),
      ...(title === undefined ? {} : { title }),
    },
  };
}

/** The hash names the object, so that a namespace cannot have two of one hash. */
function nameOf(hash: string): string {
  return `mkt-${createHash('sha256').update(hash).digest('hex').slice(0, 20)}`;
}

function isOwner(owner: Subject, subject: Subject): boolean {
  return owner.issuer === subject.issuer && owner.id === subject.id;
}

function viewOf({ metadata, spec, status }: AccessToken): TokenView {
  const { title, servers, expiresAt } = spec;
  return {
    id: metadata.name,
    servers,
    expiresAt,
    ...(title === undefined ? {} : { title }),
    ...(metadata.creationTimestamp === undefined ? {} : { createdAt: metadata.creationTimestamp }),
    ...(status?.usedAt === undefined ? {} : { usedAt: status.usedAt }),
  };
}

function ok({ subject }: TokenOrder) {
  return { v: 1, outcome: 'ok', subject: { issuer: subject.issuer, name: subject.name } } as const;
}
