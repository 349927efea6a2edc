import { headerListByteLength, type HeaderField } from '#cli/contract/header-list.ts';
import { checkKeyValue } from '#cli/contract/key-value.ts';
import type { SetControl, TokenControl, UserKeyControl } from '#cli/contract/request-control.ts';
import type { RevokeControl } from '#cli/contract/revoke-control.ts';
import type { Refusal, UserKeyResponse } from '#cli/contract/responses.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import type { ServerRef, Subject } from '#contract/lease.ts';
import type { ApprovalOrder } from '#operator/approvals/approval-orders.ts';
import { approvalRefusals } from '#operator/approvals/refusals.ts';
import type { ApprovalRules } from '#operator/policy/approval-rules.ts';
import type { RevocationOrderOf } from '#operator/revocation/revocation-orders.ts';
import type { TokenOrder } from '#operator/access-tokens/token-orders.ts';
import { payloadBytesMax } from '#operator/envelope/payload.ts';
import { takesOwnKeys } from '#operator/shared-keys/key-use.ts';
import { sameHeader } from '#operator/policy/effective-headers.ts';

import { declaredEnd, endedValue } from './declared-end.ts';
import type { ObservedOrder, ObservedServer } from './observe.ts';
import {
  headerMissing,
  headerNotDeclared,
  invalidFormat,
  noOrganization,
  organizationsConflict,
  refusal,
  refusals,
  rightMissing,
  rightUnknown,
  serverNeedsNoKey,
  serverNotFound,
  serverSharesKey,
} from './refusals.ts';
import { detailedServerState, formatOf, serverState } from './server-state.ts';

/** Servers in one answer to `list`. */
export const listedServersMax = 100;
/** Longest user id that fits an envelope and a UserKey. */
const subjectIdBytesMax = 512;

export type OrderDecision =
  | { readonly kind: 'answer'; readonly response: UserKeyResponse }
  | { readonly kind: 'refuse'; readonly refusal: Refusal; readonly isDenial: boolean }
  | StoreDecision
  | TryDecision
  | DestroyDecision
  | { readonly kind: 'token'; readonly order: TokenOrder }
  | { readonly kind: 'revoke'; readonly order: RevocationOrderOf }
  | { readonly kind: 'approval'; readonly order: ApprovalOrder }
  | AskDecision
  /** The UserKey is being deleted; a key set now would be destroyed with it. */
  | { readonly kind: 'wait' };

export interface StoreDecision {
  readonly kind: 'store';
  readonly target: ObservedServer;
  /** Names as declared, values normalised. */
  readonly fields: readonly HeaderField[];
  /** When the given values end, as their user says. */
  readonly declaredEndMs: number | undefined;
  readonly notices: readonly string[];
}

/** To find out whether a key works, and to store nothing. */
export interface TryDecision {
  readonly kind: 'try';
  readonly target: ObservedServer;
  /** As in `StoreDecision`. Empty: the key that is stored. */
  readonly fields: readonly HeaderField[];
}

/** To let approvers know that somebody wants a key. */
export interface AskDecision {
  readonly kind: 'ask';
  readonly target: ObservedServer;
  readonly rules: ApprovalRules;
  readonly reason: string | undefined;
}

export interface DestroyDecision {
  readonly kind: 'destroy';
  readonly server: ServerRef;
  readonly subject: Subject;
  readonly userKey: UserKey | undefined;
}

/** What becomes of an order. Pure. */
export function decideOrder(observed: ObservedOrder): OrderDecision {
  const { namespace, tenancy, requester, order } = observed;
  if (tenancy.kind === 'none') return refuse(noOrganization(namespace));
  if (tenancy.kind === 'conflict') return refuse(organizationsConflict(namespace, tenancy.organizations));
  const { control, headers: values } = order;
  if (control.operation === 'revoke' && control.whose !== 'own') {
    return { kind: 'revoke', order: { control, values, namespace, organization: tenancy.name, subject: undefined } };
  }
  switch (requester.kind) {
    case 'unavailable':
      return refuse(refusals.identityUnavailable);
    case 'kubernetesUser':
      return deny(refusals.kubernetesUsersNotAccepted);
    case 'unauthenticated':
      return deny(refusal('Unauthenticated', requester.message));
    case 'identified':
      if (Buffer.byteLength(requester.subject.id) > subjectIdBytesMax) return deny(refusals.idTooLong);
      return decidePermitted(observed, requester.subject);
  }
}

function decidePermitted(observed: ObservedOrder, subject: Subject): OrderDecision {
  const { permission, username, order } = observed;
  switch (permission.kind) {
    case 'granted':
      return decideFor(observed, subject, order.control);
    case 'missing':
      return deny(rightMissing(username, permission.right));
    case 'unknown':
      return refuse(rightUnknown(permission.right));
  }
}

function decideFor(observed: ObservedOrder, subject: Subject, control: UserKeyControl): OrderDecision {
  if (control.operation === 'list') return list(observed, subject);
  if (isTokenControl(control)) return tokenOrder(observed, control);
  if (control.operation === 'revoke') return ownRevocation(observed, subject, control);
  if (isApproverControl(control)) return approvalOrder(observed, control);
  const ref = { namespace: observed.namespace, name: control.server };
  const target = observed.servers.find(({ server }) => server.metadata.name === control.server);
  if (control.operation === 'delete') {
    const userKey = target?.userKey ?? observed.orphans.get(control.server);
    if (target === undefined && userKey === undefined) return notFound(observed, ref);
    return { kind: 'destroy', server: ref, subject, userKey };
  }
  return target === undefined ? notFound(observed, ref) : decideAt(target, observed, control);
}

type AtServer = Exclude<
  UserKeyControl,
  TokenControl | RevokeControl | ApprovalOrder['control'] | { readonly operation: 'list' }
>;

function decideAt(target: ObservedServer, observed: ObservedOrder, control: AtServer): OrderDecision {
  if (control.operation === 'approval-request') return decideAsk(target, control.reason);
  if (control.operation === 'set') return decideSet(target, control, observed.order.headers);
  if (control.operation === 'test') return decideTry(target, observed.order.headers);
  const { subject } = target.address;
  return { kind: 'answer', response: { ...ok(subject), operation: 'status', key: detailedServerState(target) } };
}

function isTokenControl(control: UserKeyControl): control is TokenControl {
  return control.operation.startsWith('token-');
}

function tokenOrder({ namespace, tenancy, requester, servers }: ObservedOrder, control: TokenControl): OrderDecision {
  if (tenancy.kind !== 'organization' || requester.kind !== 'identified') return refuse(refusals.malformed);
  const { subject, groups } = requester;
  const serverNames = servers.map(({ server }) => server.metadata.name);
  const maxAgeMs = tenancy.accessTokens?.maxAgeMs;
  const order = { control, namespace, organization: tenancy.name, subject, groups, maxAgeMs, serverNames };
  return { kind: 'token', order };
}

function ownRevocation(
  { namespace, tenancy, order }: ObservedOrder,
  subject: Subject,
  control: RevokeControl,
): OrderDecision {
  if (tenancy.kind !== 'organization') return refuse(refusals.malformed);
  const { headers: values } = order;
  return { kind: 'revoke', order: { control, values, namespace, organization: tenancy.name, subject } };
}

function isApproverControl(control: UserKeyControl): control is ApprovalOrder['control'] {
  const { operation } = control;
  return operation === 'approval-list' || operation === 'approval-grant' || operation === 'approval-refuse';
}

function approvalOrder(
  { namespace, tenancy, requester, username }: ObservedOrder,
  control: ApprovalOrder['control'],
): OrderDecision {
  if (tenancy.kind !== 'organization' || requester.kind !== 'identified') return refuse(refusals.malformed);
  const { subject, groups } = requester;
  return {
    kind: 'approval',
    order: { control, namespace, organization: tenancy.name, approver: { subject, groups, username } },
  };
}

function decideAsk(target: ObservedServer, reason: string | undefined): OrderDecision {
  const { name } = target.server.metadata;
  const { headers, approval: rules, userKey } = target;
  if (headers.length === 0) return refuse(serverNeedsNoKey(name));
  if (rules === undefined) return refuse(approvalRefusals.notNeeded(name));
  return userKey?.metadata.deletionTimestamp === undefined ? { kind: 'ask', target, rules, reason } : { kind: 'wait' };
}

function decideSet(target: ObservedServer, control: SetControl, given: readonly HeaderField[]): OrderDecision {
  const refused = refusalToSet(target, given);
  if (refused !== undefined) return refuse(refused);
  const read = readFields(target, given);
  if (read.kind === 'refused') return refuse(read.refusal);
  const end = declaredEnd(control, target.now);
  if (end.kind === 'refused') return refuse(end.refusal);
  const ended = endedValue(read.fields, target.now);
  if (ended !== undefined) return refuse(ended);
  if (target.userKey?.metadata.deletionTimestamp !== undefined) return { kind: 'wait' };
  const { fields, notices } = read;
  const declaredEndMs = end.kind === 'ends' ? end.atMs : undefined;
  return { kind: 'store', target, fields, declaredEndMs, notices };
}

/** Whatever the values are. */
function refusalToSet(target: ObservedServer, given: readonly HeaderField[]): Refusal | undefined {
  const declared = target.headers.map(({ name }) => name);
  const { name } = target.server.metadata;
  if (declared.length === 0) return serverNeedsNoKey(name);
  if (!takesOwnKeys(target.use)) return serverSharesKey(name);
  if (given.length === 0) return headerMissing(declared);
  const approval = target.userKey?.status?.approval;
  const isRefused = target.approval !== undefined && approval?.state === 'Refused';
  return isRefused ? approvalRefusals.refusedBefore(name, approval) : undefined;
}

function decideTry(target: ObservedServer, given: readonly HeaderField[]): OrderDecision {
  const { name } = target.server.metadata;
  if (target.headers.length === 0) return refuse(serverNeedsNoKey(name));
  if (!takesOwnKeys(target.use)) return refuse(serverSharesKey(name));
  const read = readFields(target, given);
  return read.kind === 'refused' ? refuse(read.refusal) : { kind: 'try', target, fields: read.fields };
}

type ReadFields =
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  | { readonly kind: 'read'; readonly fields: readonly HeaderField[]; readonly notices: readonly string[] };

function readFields(target: ObservedServer, given: readonly HeaderField[]): ReadFields {
  const declared = target.headers.map(({ name }) => name);
  const { name } = target.server.metadata;
  const fields: HeaderField[] = [];
  const notices: string[] = [];
  for (const field of given) {
    const header = target.headers.find((other) => sameHeader(other.name, field.name));
    if (header === undefined) return { kind: 'refused', refusal: headerNotDeclared(name, field.name, declared) };
    const checked = checkKeyValue(field.value, formatOf(target.server, header));
    if (checked.kind === 'invalid') return { kind: 'refused', refusal: invalidFormat(header.name, checked.message) };
    fields.push({ name: header.name, value: checked.value });
    notices.push(...checked.notices.map((notice) => `${header.name}: ${notice}`));
  }
  if (headerListByteLength(fields) > payloadBytesMax) return { kind: 'refused', refusal: refusals.tooLarge };
  return { kind: 'read', fields, notices };
}

function list({ servers }: ObservedOrder, subject: Subject): OrderDecision {
  const keys = servers.slice(0, listedServersMax).map(serverState);
  const more = servers.length - keys.length;
  return { kind: 'answer', response: { ...ok(subject), operation: 'list', keys, more } };
}

export function ok({ issuer, name }: Subject) {
  return { v: 1, outcome: 'ok', subject: { issuer, name } } as const;
}

function notFound({ servers }: ObservedOrder, server: ServerRef): OrderDecision {
  return refuse(
    serverNotFound(
      server,
      servers.map((other) => other.server.metadata.name),
    ),
  );
}

function refuse(why: Refusal): OrderDecision {
  return { kind: 'refuse', refusal: why, isDenial: false };
}

/** A refusal of a person, which is recorded. */
function deny(why: Refusal): OrderDecision {
  return { kind: 'refuse', refusal: why, isDenial: true };
}
