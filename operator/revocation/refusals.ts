import type { Refusal } from '#cli/contract/responses.ts';
import type { Subject } from '#contract/lease.ts';
import { refusal, refusals, rightMissing, rightUnknown, serverNotFound } from '#operator/intake/refusals.ts';

/** Users that a refusal names. */
const namedMax = 10;

/** Every sentence with which a revocation is refused: what is wrong, and what to do. */
export const revocationRefusals = {
  malformed: refusals.malformed,
  rightMissing,
  rightUnknown,
  serverNotFound,
  nothingOf: (user: string, namespace: string, server: string | undefined): Refusal =>
    refusal(
      'KeyNotFound',
      `There is no key of ${user} ${server === undefined ? `in namespace ${namespace}` : `for ${server}`}, so nothing was revoked. ` +
        `Those that there are: kubectl get userkeys -n ${namespace}`,
    ),
  ambiguous: (user: string, users: readonly { readonly key: string; readonly subject: Subject }[]): Refusal => {
    const named = users.slice(0, namedMax).map(({ key, subject }) => `${key} (${subject.id} of ${subject.issuer})`);
    return refusal(
      'UserAmbiguous',
      `${users.length} users go by the name ${user}, so nothing was revoked. Give one with --user: ${named.join(', ')}`,
    );
  },
} as const;
