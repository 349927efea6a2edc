import type { HeaderHint, ServerRef, Subject } from '#contract/lease.ts';
import { describeSetCommand } from '#contract/set-command.ts';
import type { VerifiedPod } from '#operator/identity/pod-identity.ts';

import type { KeyProblem } from './key-problem.ts';
import type { KeyUse } from './key-use.ts';

/** Why nobody's key is put into the request of a user who has none of their own. */
export type SharedRefusal = KeyProblem | { readonly kind: 'planWithoutUserKeys' } | { readonly kind: 'foreignAgent' };

/** The part of a refused lease that says what is wrong. */
export interface ExplainedRefusal {
  readonly decision: 'missing';
  readonly hints: readonly HeaderHint[];
  readonly message: string;
  readonly keySource?: 'shared';
}

/**
 * Pure. Who runs an agent's pod can get at what its sidecar holds. A user's key they get only with the credential of that user; the key
 * of everybody goes only to where its server's namespace is in charge, and to gateways.
 */
export function mayHoldSharedKey(
  { role, namespace }: Pick<VerifiedPod, 'role' | 'namespace'>,
  server: ServerRef,
): boolean {
  switch (role) {
    case 'server':
    case 'gateway':
      return true;
    case 'agent':
      return namespace === server.namespace;
    default:
      return role satisfies never;
  }
}

export interface RefusedSharing {
  readonly refusal: SharedRefusal;
  readonly use: KeyUse;
  readonly server: ServerRef;
  readonly subject: Subject;
  /** What a user is asked for who can set a key of their own. */
  readonly hints: readonly HeaderHint[];
}

/** Pure. Where users may have a key of their own, that is what they are asked for; otherwise only an administrator can help. */
export function explainSharedRefusal({ refusal, use, server, subject, hints }: RefusedSharing): ExplainedRefusal {
  const message = describe(refusal, server);
  if (use === 'ownOrShared') {
    return { decision: 'missing', hints, message: `${describeSetCommand(server, subject)} ${message}` };
  }
  return { decision: 'missing', hints: [], message, keySource: 'shared' };
}

function describe(refusal: SharedRefusal, { namespace, name }: ServerRef): string {
  switch (refusal.kind) {
    case 'planWithoutUserKeys':
      return 'Your organization has no keys of users, and this server is declared for nothing else. Tell your administrator.';
    case 'foreignAgent':
      return `The shared key of this server is not given to agents outside namespace ${namespace}. Call the server through its gateway.`;
    case 'unknown':
    case 'tooMany':
    case 'forbidden':
    case 'notFound':
    case 'malformed':
    case 'notForServer':
    case 'headersMissing':
    case 'valuesUnusable':
      return `The shared key of this server cannot be used. Your administrator sees why: kubectl describe mcps ${name} -n ${namespace}`;
    default:
      return refusal satisfies never;
  }
}
