import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { ServerRef, Subject } from '#contract/lease.ts';
import type { VerifiedPod } from '#operator/identity/pod-identity.ts';
import { KubeError } from '#operator/kube/errors.ts';
import type { OpenedKey } from '#operator/keystore/key-store.ts';
import type { EffectiveHeader } from '#operator/policy/effective-headers.ts';
import type { KeyUse } from '#operator/shared-keys/key-use.ts';
import {
  type ExplainedRefusal,
  explainSharedRefusal,
  mayHoldSharedKey,
  type SharedRefusal,
} from '#operator/shared-keys/shared-refusal.ts';
import type { SharedKeys } from '#operator/shared-keys/shared-keys.ts';

import type { Denials } from './denials.ts';
import { BrokerError } from './errors.ts';
import type { HeaderToLease } from './granted-body.ts';
import { toLease } from './headers-to-lease.ts';
import { decideRelease } from './lease.ts';
import { hintOf } from './policy-snapshot.ts';

export interface SharedLeasesOptions {
  readonly sharedKeys: Pick<SharedKeys, 'open'>;
  readonly denials: Pick<Denials, 'record'>;
}

/** A known user at a server whose requests carry the key of the organization. */
export interface SharedAsked {
  readonly pod: VerifiedPod;
  readonly organization: { readonly name: string };
  readonly server: McpServer;
  readonly headers: readonly EffectiveHeader[];
  readonly use: KeyUse;
  readonly address: { readonly server: ServerRef };
  readonly user: { readonly subject: Subject };
}

export type SharedDecision =
  /** Whoever gets it disposes the key, which the headers are views of. */
  | { readonly kind: 'granted'; readonly headers: readonly HeaderToLease[]; readonly key: OpenedKey }
  | { readonly kind: 'refused'; readonly explained: ExplainedRefusal };

/** Decides about the key of the organization for one user. */
export class SharedLeases {
  readonly #options: SharedLeasesOptions;

  constructor(options: SharedLeasesOptions) {
    this.#options = options;
  }

  /** @throws BrokerError when nobody can say what is in the Secret */
  async decide(asked: SharedAsked): Promise<SharedDecision> {
    if (asked.use === 'refusedByPlan') return refuse(asked, { kind: 'planWithoutUserKeys' });
    if (!mayHoldSharedKey(asked.pod, asked.address.server)) return this.#denyForeignAgent(asked);
    const opening = await this.#open(asked);
    if (opening.kind === 'unusable') return refuse(asked, opening.problem);
    const { key } = opening;
    const names = key.headers.map(({ name }) => name);
    const release = decideRelease(asked.headers, names);
    const headers = release.kind === 'missing' ? undefined : toLease(release.headers, key.headers);
    if (headers !== undefined) return { kind: 'granted', headers, key };
    key[Symbol.dispose]();
    return refuse(asked, { kind: 'malformed' });
  }

  async #open({ server, headers }: SharedAsked): ReturnType<SharedKeys['open']> {
    try {
      return await this.#options.sharedKeys.open({ server, headers }, 'shared');
    } catch (error) {
      if (error instanceof KubeError) throw new BrokerError('ERR_STORE_UNAVAILABLE', { cause: error });
      throw error;
    }
  }

  async #denyForeignAgent(asked: SharedAsked): Promise<SharedDecision> {
    const { pod, organization, address, user } = asked;
    const place = { server: address.server, organization: organization.name, subject: user.subject };
    const message = 'A shared key is not given to agents outside the namespace of its server.';
    await this.#options.denials.record(pod.uid, {
      ...place,
      action: 'lease',
      reason: 'SharedKeyNotForAgents',
      message,
    });
    return refuse(asked, { kind: 'foreignAgent' });
  }
}

function refuse({ use, address, user, headers }: SharedAsked, refusal: SharedRefusal): SharedDecision {
  const hints = headers.filter((header) => header.required).map(hintOf);
  const { subject } = user;
  return { kind: 'refused', explained: explainSharedRefusal({ refusal, use, server: address.server, subject, hints }) };
}
