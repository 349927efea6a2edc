import type { HeaderField } from '#cli/contract/header-list.ts';
import type { UserKeyResponse } from '#cli/contract/responses.ts';
import type { UserKeyRequest } from '#crds/v1alpha1/generated/user-key-request.ts';
import { uuidOf } from '#operator/audit/event-ids.ts';
import { KeyStoreError } from '#operator/keystore/errors.ts';
import type { KeyStore } from '#operator/keystore/key-store.ts';
import { versionToOpen } from '#operator/keystore/revoked.ts';
import { budgetLimits } from '#operator/validation/budget.ts';
import { describeTried } from '#operator/validation/describe.ts';
import type { Tried } from '#operator/validation/prober.ts';
import type { KeyTrials, TrialOrder } from '#operator/validation/trials.ts';

import { ok, type TryDecision } from './decide.ts';
import { mergeValues } from './merged-values.ts';
import type { RequestLimiter } from './request-limiter.ts';
import type { ObservedServer } from './observe.ts';
import { keyNotChecked, keyNotSet, keyRejected, refusals } from './refusals.ts';

export interface KeyTrier {
  readonly keyStore: Pick<KeyStore, 'open'>;
  readonly trials: Pick<KeyTrials, 'try' | 'record'>;
  /** Of keys that one requester has tried. */
  readonly tryLimiter: Pick<RequestLimiter, 'admits'>;
  readonly now: () => Date;
}

/** Whether a key may be stored, and what is known of it then. */
export type FirstTrial =
  | { readonly kind: 'refused'; readonly response: UserKeyResponse }
  | { readonly kind: 'stored'; readonly tried: Tried | undefined };

/** Tries a key before anything is stored, where a policy asks for it. */
export async function tryFirst(
  trier: KeyTrier,
  target: ObservedServer,
  { fields, request }: { readonly fields: readonly HeaderField[]; readonly request: UserKeyRequest },
): Promise<FirstTrial> {
  const { onSave, probes } = target.validation;
  if (onSave === 'Off' || probes.length === 0) return { kind: 'stored', tried: undefined };
  if (!admits(trier, request)) return { kind: 'refused', response: refusals.tooManyTries };
  const tried = await tryGiven(trier, target, { fields, request });
  if (tried === 'unreadable') return { kind: 'refused', response: refusals.storeUnavailable };
  if (onSave === 'Warn' || tried === undefined) return { kind: 'stored', tried };
  const { verdict, reason } = tried.finding;
  // One header of several: the key is tried when it is whole.
  if (verdict === 'Accepted' || reason === 'HeadersMissing') return { kind: 'stored', tried };
  const check = describeTried(tried, target.server);
  return { kind: 'refused', response: verdict === undefined ? keyNotChecked(check) : keyRejected(check) };
}

async function tryGiven(
  { keyStore, trials }: KeyTrier,
  target: ObservedServer,
  { fields, request }: { readonly fields: readonly HeaderField[]; readonly request: UserKeyRequest },
): Promise<Tried | undefined | 'unreadable'> {
  const onRecord = target.userKey === undefined ? undefined : versionToOpen(target.userKey);
  try {
    using merged = await mergeValues(keyStore, { target, fields, onRecord });
    return await trials.try({ ...keyOf(target), version: 0, values: merged.values }, orderOf(request));
  } catch (error) {
    if (!(error instanceof KeyStoreError)) throw error;
    return 'unreadable';
  }
}

/** Carries out `test`: of the values that were given, or of the key that is stored. */
export async function tryKey(
  trier: KeyTrier,
  { target, fields }: TryDecision,
  request: UserKeyRequest,
): Promise<UserKeyResponse> {
  if (!admits(trier, request)) return refusals.tooManyTries;
  const tried =
    fields.length > 0 ? await tryGiven(trier, target, { fields, request }) : await tryStored(trier, target, request);
  if (tried === 'unreadable') return refusals.storeUnavailable;
  if (tried === 'notSet') return keyNotSet(target.address.server.name);
  return {
    ...ok(target.address.subject),
    operation: 'test',
    server: target.address.server.name,
    tried: fields.length > 0 ? 'given' : 'stored',
    ...(tried === undefined ? {} : { check: describeTried(tried, target.server) }),
  };
}

async function tryStored(
  { keyStore, trials }: KeyTrier,
  target: ObservedServer,
  request: UserKeyRequest,
): Promise<Tried | undefined | 'unreadable' | 'notSet'> {
  const { userKey, server, validation: rules } = target;
  const onRecord = userKey === undefined ? undefined : versionToOpen(userKey);
  if (userKey === undefined || onRecord === undefined) return 'notSet';
  try {
    using key = await keyStore.open(target.address, onRecord);
    if (key === undefined) return 'notSet';
    const { version } = key;
    const tried = await trials.try({ ...keyOf(target), version, values: key.headers }, orderOf(request));
    if (tried !== undefined) await trials.record({ userKey, server, tried, version, rules });
    return tried;
  } catch (error) {
    if (!(error instanceof KeyStoreError)) throw error;
    return 'unreadable';
  }
}

function admits({ tryLimiter, now }: KeyTrier, { metadata, spec }: UserKeyRequest): boolean {
  return tryLimiter.admits(spec.requester.username, metadata.uid ?? '', now().getTime());
}

function keyOf({ server, headers, address, validation }: ObservedServer) {
  return { server, headers, address, probes: validation.probes };
}

/** The same however often the request is handled, so that it counts once. */
function orderOf({ metadata, spec }: UserKeyRequest): TrialOrder {
  return { actor: spec.requester.username, eventId: uuidOf(`key.probed/${metadata.uid}`), limits: budgetLimits.asked };
}
