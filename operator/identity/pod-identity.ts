import { brokerAudience } from '#crds/v1alpha1/names.ts';
import type { KubeObject } from '#operator/kube/resource.ts';

import { judgeRole } from './pod-roles.ts';
import type { PodAction, PodRole, RoleRefusal, RoleWorld } from './pod-roles.ts';
import type { ReviewedUser, TokenReviewer, TokenReviewRefusal } from './token-review.ts';

/** What a pod token says, before the pod itself is looked at. */
export interface BoundToken {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly node?: string;
  /** JTI of the token, for the audit log. */
  readonly credentialId?: string;
}

/** A pod that proved by its bound token that it carries a sidecar that may act for the server it asks for. */
export interface VerifiedPod extends BoundToken {
  readonly role: PodRole;
}

export type PodRefusal =
  | TokenReviewRefusal
  | RoleRefusal
  | 'TokenMissing'
  | 'NotAServiceAccount'
  | 'ServiceAccountGroupMissing'
  | 'NotBoundToAPod'
  | 'PodUnknown';

export type PodIdentification =
  | { readonly kind: 'verified'; readonly pod: VerifiedPod }
  | { readonly kind: 'refused'; readonly reason: PodRefusal; readonly pod?: BoundToken };

export type TokenCheck =
  | { readonly kind: 'bound'; readonly token: BoundToken }
  | { readonly kind: 'refused'; readonly reason: PodRefusal };

export interface PodIdentityOptions extends RoleWorld {
  readonly reviewer: Pick<TokenReviewer, 'review'>;
  /** Every pod that is labelled as one with the sidecar; metadata is enough. */
  readonly podOfUid: (uid: string) => KubeObject | undefined;
}

export interface PodQuestion extends PodAction {
  /** The pod token, without its scheme; undefined when none was sent. */
  readonly token: string | undefined;
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
    const judged = judgePod(token, this.#options.podOfUid(token.uid), { action: question, world: this.#options });
    if (typeof judged === 'string') return { kind: 'refused', reason: judged, pod: token };
    return { kind: 'verified', pod: judged };
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

/** Pure. The pod that may act for this server, or the reason why it may not. */
export function judgePod(
  token: BoundToken,
  pod: KubeObject | undefined,
  { action, world }: { readonly action: PodAction; readonly world: RoleWorld },
): VerifiedPod | PodRefusal {
  if (pod === undefined || pod.metadata.name !== token.name) return 'PodUnknown';
  if (pod.metadata.namespace !== token.namespace) return 'NamespaceMismatch';
  const verdict = judgeRole(pod, action, world);
  return verdict.kind === 'may' ? { ...token, role: verdict.role } : verdict.refusal;
}
