import type { ApprovalControl, ApprovalDecisionControl } from '#cli/contract/approval-control.ts';
import type { ApprovalView } from '#cli/contract/approval-responses.ts';
import type { UserKeyResponse } from '#cli/contract/responses.ts';
import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import type { UserKeyRequest } from '#crds/v1alpha1/generated/user-key-request.ts';
import type { UserKey, UserKeyApproval } from '#crds/v1alpha1/generated/user-key.ts';
import type { AuditLog } from '#operator/audit/audit-log.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import type { Store } from '#operator/kube/informer.ts';
import { userKeys } from '#operator/kube/keyring-resources.ts';
import type { KeyStore } from '#operator/keystore/key-store.ts';
import type { ApprovalRules } from '#operator/policy/approval-rules.ts';
import { effectivePolicy, policyUserOf } from '#operator/policy/effective-policy.ts';
import type { AccessReviews } from '#operator/rights/access-reviews.ts';
import { grantedOf } from '#operator/rights/permission.ts';
import { chooseUser } from '#operator/subjects/choose-user.ts';

import { approvalEvent } from './approval-event.ts';
import { type Approver, approvingGroups } from './approver.ts';
import { decideApproval } from './decide.ts';
import { approvalRefusals } from './refusals.ts';
import { waitingUser } from './waiting.ts';
import { writeApproval } from './write-approval.ts';

/** What an approver orders, as intake found out. */
export interface ApprovalOrder {
  readonly control: Exclude<ApprovalControl, { readonly operation: 'approval-request' }>;
  readonly namespace: string;
  readonly organization: string;
  readonly approver: Approver;
}

export interface ApprovalOrdersOptions {
  /** Fenced: only the leader writes about approval. */
  readonly client: Pick<KubeClient, 'get' | 'apply'>;
  readonly sources: {
    readonly mcpServers: Pick<Store<McpServer>, 'get' | 'listNamespace'>;
    readonly userKeyPolicies: Pick<Store<UserKeyPolicy>, 'listNamespace'>;
    readonly userKeys: Pick<Store<UserKey>, 'listNamespace'>;
  };
  readonly keyStore: Pick<KeyStore, 'userKeyNameOf'>;
  readonly rights: Pick<AccessReviews, 'ask'>;
  readonly audit: Pick<AuditLog, 'append'>;
  /** So that no order about the same key is half-way. */
  readonly turns: { take(key: string): Promise<Disposable> };
  readonly now: () => Date;
}

/** A refusal is an answer; `isDenial`: it goes on record. */
export interface ApprovalOutcome {
  readonly response: UserKeyResponse;
  readonly isDenial: boolean;
}

/** Users in one answer. */
export const waitingUsersMax = 100;

interface Case {
  readonly order: ApprovalOrder;
  readonly request: UserKeyRequest;
}

/** Tells approvers who waits, and puts on record what they decide. Each step may run twice. */
export class ApprovalOrders {
  readonly #options: ApprovalOrdersOptions;

  constructor(options: ApprovalOrdersOptions) {
    this.#options = options;
  }

  /** That the approver has the verb at the server is known for a decision, and asked here for the list. @throws AuditError, KubeError */
  async carryOut(order: ApprovalOrder, request: UserKeyRequest): Promise<ApprovalOutcome> {
    const { control } = order;
    switch (control.operation) {
      case 'approval-list':
        return answer(await this.#list({ order, request }, control.server));
      case 'approval-grant':
      case 'approval-refuse':
        return await this.#decide({ order, request }, control);
    }
  }

  async #list({ order, request }: Case, server: string | undefined): Promise<UserKeyResponse> {
    const { namespace } = order;
    const { sources, rights, now } = this.#options;
    const declared = sources.mcpServers.listNamespace(namespace).map(({ metadata }) => metadata.name);
    const wanted = (server === undefined ? declared : [server]).map(
      (name) => ({ verb: 'approve', namespace, server: name }) as const,
    );
    const granted = await grantedOf(rights, request.spec.requester, wanted);
    if (granted === 'unknown') return approvalRefusals.rightUnknown({ verb: 'approve', namespace });
    const names = new Set(granted.map(({ server: name = '' }) => name));
    const all = this.#userKeysOf(namespace)
      .filter(({ spec }) => names.has(spec.serverRef.name))
      .flatMap(
        (userKey) => waitingUser(userKey, this.#rulesOf(userKey), { approver: order.approver, now: now() }) ?? [],
      )
      .toSorted((left, right) => ((left.askedAt ?? '9') < (right.askedAt ?? '9') ? -1 : 1));
    const waiting = all.slice(0, waitingUsersMax);
    return { ...ok(order), operation: 'approval-list', waiting, more: all.length - waiting.length };
  }

  async #decide({ order, request }: Case, control: ApprovalDecisionControl): Promise<ApprovalOutcome> {
    const { namespace } = order;
    const { sources, turns, client } = this.#options;
    if (sources.mcpServers.get(namespace, control.server) === undefined) {
      const names = sources.mcpServers.listNamespace(namespace).map(({ metadata }) => metadata.name);
      return answer(approvalRefusals.serverNotFound({ namespace, name: control.server }, names));
    }
    const known = this.#userKeysOf(namespace).filter(({ spec }) => spec.serverRef.name === control.server);
    const chosen = chooseUser(known, control.user);
    if (chosen.kind === 'ambiguous') return answer(approvalRefusals.ambiguous(control.user, chosen.users));
    const nobody = approvalRefusals.userNotFound(control.user, control.server, []);
    if (chosen.kind === 'nobody') {
      return answer(approvalRefusals.userNotFound(control.user, control.server, chosen.namesakes));
    }
    const name = `${control.server}-${chosen.key}`;
    using _turn = await turns.take(`${namespace}/${name}`);
    const userKey = await client.get(userKeys, { namespace, name });
    if (userKey === undefined || userKey.metadata.deletionTimestamp !== undefined) return answer(nobody);
    return await this.#decideAbout({ order, request }, control, userKey);
  }

  async #decideAbout(
    { order, request }: Case,
    control: ApprovalDecisionControl,
    userKey: UserKey,
  ): Promise<ApprovalOutcome> {
    const { now } = this.#options;
    const { subject } = userKey.spec;
    const rules = this.#rulesOf(userKey);
    if (rules === undefined) return answer(approvalRefusals.notNeededFor(subject.id, control.server));
    const { approver } = order;
    const orderedAtMs = Date.parse(request.metadata.creationTimestamp ?? '') || now().getTime();
    const verdict = decideApproval({ control, approver, userKey, rules, orderedAtMs, now: now() });
    if (verdict.kind === 'refused') return { response: verdict.refusal, isDenial: verdict.isDenial };
    await this.#write({ order, request }, { userKey, rules, approval: verdict.approval });
    const { issuer, id, name } = subject;
    const { operation, server } = control;
    const said = { operation, server, user: { issuer, id, name }, approval: viewOf(verdict.approval) };
    return answer({ ...ok(order), ...said });
  }

  /** On record before it is in force: nobody uses a key that nobody is known to have let them have. */
  async #write(
    { order, request }: Case,
    {
      userKey,
      rules,
      approval,
    }: {
      readonly userKey: UserKey;
      readonly rules: ApprovalRules;
      readonly approval: UserKeyApproval;
    },
  ): Promise<void> {
    const { audit, client, now } = this.#options;
    const { approver, organization } = order;
    const type = approval.state === 'Granted' ? 'approval.granted' : 'approval.refused';
    const { subject, username: actor } = approver;
    const groups = approvingGroups(approver, rules);
    const what = { type, requestUid: request.metadata.uid ?? '', organization, now: now() } as const;
    await audit.append(approvalEvent(userKey, { ...what, approval, approver: subject, groups, actor }));
    await writeApproval(client, userKey, approval);
  }

  /** Undefined: no policy asks for approval. */
  #rulesOf(userKey: UserKey): ApprovalRules | undefined {
    const { mcpServers, userKeyPolicies } = this.#options.sources;
    const { namespace = '' } = userKey.metadata;
    const server = mcpServers.get(namespace, userKey.spec.serverRef.name);
    if (server === undefined) return undefined;
    return effectivePolicy(server, userKeyPolicies.listNamespace(namespace), policyUserOf(userKey)).approval;
  }

  /** One that somebody made up says nothing about its subject. */
  #userKeysOf(namespace: string): readonly UserKey[] {
    const { sources, keyStore } = this.#options;
    return sources.userKeys.listNamespace(namespace).filter(({ metadata, spec: { serverRef, subject } }) => {
      return metadata.name === keyStore.userKeyNameOf({ server: { namespace, name: serverRef.name }, subject });
    });
  }
}

/** Field by field: what else stands in the status is nobody's business here. */
export function viewOf({ state, at, by, until, reason, renewal }: UserKeyApproval): ApprovalView {
  return {
    state,
    at,
    ...(by === undefined ? {} : { by }),
    ...(until === undefined ? {} : { until }),
    ...(reason === undefined ? {} : { reason }),
    ...(renewal === undefined ? {} : { renewal }),
  };
}

function ok({ approver }: ApprovalOrder) {
  const { issuer, name } = approver.subject;
  return { v: 1, outcome: 'ok', subject: { issuer, name } } as const;
}

function answer(response: UserKeyResponse): ApprovalOutcome {
  return { response, isDenial: false };
}
