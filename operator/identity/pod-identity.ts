import { brokerAudience, labels } from '#crds/v1alpha1/names.ts';
import type { ServerRef } from '#contract/lease.ts';
import type { Store } from '#operator/kube/informer.ts';
import type { KubeObject } from '#operator/kube/resource.ts';

import type { ReviewedUser, TokenReviewer, TokenReviewRefusal } from './token-review.ts';

/** A pod that proved by its bound token that it carries the sidecar of the server it asks for. */
export interface VerifiedPod {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly node?: string;
  /** JTI of the token, for the audit log. */
  readonly credentialId?: string;
}

/** What a pod token says, before the pod itself is looked at. */
type BoundToken = VerifiedPod;

export type PodRefusal =
  | TokenReviewRefusal
  | 'TokenMissing'
  | 'NotAServiceAccount'
  | 'ServiceAccountGroupMissing'
  | 'NotBoundToAPod'
  | 'NamespaceMismatch'
  | 'PodUnknown'
  | 'PodTerminating'
  | 'PodNotInjected'
  | 'PodServesAnotherServer';

export type PodIdentification =
  | { readonly kind: 'verified'; readonly pod: VerifiedPod }
  | { readonly kind: 'refused'; readonly reason: PodRefusal; readonly pod?: VerifiedPod };

export type TokenCheck =
  | { readonly kind: 'bound'; readonly token: BoundToken }
  | { readonly kind: 'refused'; readonly reason: PodRefusal };

/**
 * `serving`: the pod may be given keys and policy. `reporting`: it may hand in what it did, which it still has to while it
 * terminates.
 */
export type PodPurpose = 'serving' | 'reporting';

export interface PodIdentityOptions {
  readonly reviewer: Pick<TokenReviewer, 'review'>;
  /** Every pod with the sidecar label, metadata only. */
  readonly pods: Store<KubeObject>;
}

export interface PodQuestion {
  /** The pod token, without its scheme; undefined when none was sent. */
  readonly token: string | undefined;
  readonly server: ServerRef;
  readonly purpose: PodPurpose;
}

/** Verifies pods. The token check may be 10 s old, the pod itself is looked at each time. */
export class PodIdentifier {
  readonly #options: PodIdentityOptions;

  constructor(options: PodIdentityOptions) {
    this.#options = options;
  }

  /** Whether the token is one of some pod of ours, before it is known what it asks for. @throws TokenReviewUnavailableError */
  async checkToken(token: string | undefined): Promise<TokenCheck> {
    if (token === undefined || token === '') return { kind: 'refused', reason: 'TokenMissing' };
    const verdict = await this.#options.reviewer.review(token, [brokerAudience]);
    if (verdict.kind === 'refused') return verdict;
    const bound = readBoundToken(verdict.user);
    return typeof bound === 'string' ? { kind: 'refused', reason: bound } : { kind: 'bound', token: bound };
  }

  /** @throws TokenReviewUnavailableError */
  async identify(question: PodQuestion): Promise<PodIdentification> {
    const check = await this.checkToken(question.token);
    if (check.kind === 'refused') return check;
    const { token } = check;
    const refusal = judgePod(token, this.#options.pods.getByUid(token.uid), question);
    return refusal === undefined ? { kind: 'verified', pod: token } : { kind: 'refused', reason: refusal, pod: token };
  }
}

const extraPrefix = 'authentication.kubernetes.io/';
const dnsLabel = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;
/** Names of ServiceAccounts are DNS subdomains. */
const dnsSubdomain = /^(?=.{1,253}$)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;

/** Pure. A refusal where the reviewed user is not a ServiceAccount whose token is bound to one pod. */
export function readBoundToken(user: ReviewedUser): BoundToken | PodRefusal {
  const account = parseServiceAccount(user.username);
  if (account === undefined) return 'NotAServiceAccount';
  const { groups } = user;
  if (!groups.includes('system:serviceaccounts') || !groups.includes(`system:serviceaccounts:${account.namespace}`)) {
    return 'ServiceAccountGroupMissing';
  }
  const name = onlyValue(user, 'pod-name');
  const uid = onlyValue(user, 'pod-uid');
  if (name === undefined || uid === undefined) return 'NotBoundToAPod';
  const node = onlyValue(user, 'node-name');
  const credentialId = onlyValue(user, 'credential-id');
  return {
    uid,
    name,
    namespace: account.namespace,
    serviceAccount: account.name,
    ...(node === undefined ? {} : { node }),
    ...(credentialId === undefined ? {} : { credentialId }),
  };
}

function parseServiceAccount(username: string): { readonly namespace: string; readonly name: string } | undefined {
  const parts = username.split(':');
  const [system, kind, namespace, name] = parts;
  if (parts.length !== 4 || system !== 'system' || kind !== 'serviceaccount') return undefined;
  if (namespace === undefined || name === undefined) return undefined;
  return dnsLabel.test(namespace) && dnsSubdomain.test(name) ? { namespace, name } : undefined;
}

function onlyValue(user: ReviewedUser, name: string): string | undefined {
  const key = `${extraPrefix}${name}`;
  const values = Object.hasOwn(user.extra, key) ? user.extra[key] : undefined;
  return values?.length === 1 && values[0] !== '' ? values[0] : undefined;
}

/** Pure. The reason why this pod may not act for this server, or undefined. */
export function judgePod(
  token: BoundToken,
  pod: KubeObject | undefined,
  question: Pick<PodQuestion, 'server' | 'purpose'>,
): PodRefusal | undefined {
  if (token.namespace !== question.server.namespace) return 'NamespaceMismatch';
  if (pod === undefined || pod.metadata.name !== token.name) return 'PodUnknown';
  if (pod.metadata.namespace !== token.namespace) return 'NamespaceMismatch';
  if (question.purpose === 'serving' && pod.metadata.deletionTimestamp !== undefined) return 'PodTerminating';
  if (pod.metadata.labels?.[labels.injected] !== 'true') return 'PodNotInjected';
  return pod.metadata.labels[labels.server] === question.server.name ? undefined : 'PodServesAnotherServer';
}
