import type { KeyCheck, Refusal, RefusalCode } from '#cli/contract/responses.ts';
import type { ServerRef } from '#contract/lease.ts';

import { describeRight, grantCommand } from '#operator/rights/grant-command.ts';
import type { Right } from '#operator/rights/verbs.ts';

import { requestsPerWindowMax, triesPerWindowMax } from './request-limiter.ts';
import { nearestNames } from './suggestions.ts';

/** Every sentence with which a request is refused: what is wrong, and what to do. */

export function refusal(code: RefusalCode, message: string, suggestions?: readonly string[]): Refusal {
  return { v: 1, outcome: 'refused', code, message, ...(suggestions?.length && { suggestions }) };
}

export const refusals = {
  malformed: refusal(
    'RequestMalformed',
    'The request is not one that this operator knows. Use a newer kubectl mcpkeys.',
  ),
  tooMany: refusal(
    'TooManyRequests',
    `More than ${requestsPerWindowMax} requests in a minute. Wait a minute and try again.`,
  ),
  tooManyTries: refusal(
    'TooManyRequests',
    `More than ${triesPerWindowMax} keys were tried in a minute. Wait a minute and try again.`,
  ),
  identityUnavailable: refusal(
    'IdentityUnavailable',
    'The identity provider could not be asked who you are. Try again in a minute.',
  ),
  storeUnavailable: refusal(
    'StoreUnavailable',
    'The key could not be stored. Nothing was changed. Ask whoever runs the operator to look at its log.',
  ),
  endTooFar: refusal('ExpiryRefused', 'The key is said to end after the year 9999. Give a day before that, or none.'),
  tooLarge: refusal('TooLarge', 'The values are too long together. Check that each is only a key.'),
  idTooLong: refusal('Unauthenticated', 'Your user id is longer than this operator can store. Ask your administrator.'),
  kubernetesUsersNotAccepted: refusal(
    'Unauthenticated',
    'This organization does not know Kubernetes users. Get a token from its identity provider and give it with --token-file.',
  ),
} as const;

export function noOrganization(namespace: string): Refusal {
  return refusal(
    'NamespaceHasNoOrganization',
    `Namespace ${namespace} belongs to no organization. Ask your administrator to add it to one.`,
  );
}

export function organizationsConflict(namespace: string, organizations: readonly string[]): Refusal {
  return refusal(
    'NamespacesConflict',
    `Namespace ${namespace} is selected by several organizations (${organizations.join(', ')}). Ask your administrator to leave it to one.`,
  );
}

/** `kubectl auth can-i` says the same. */
export function rightMissing(username: string, right: Right): Refusal {
  return refusal(
    'Forbidden',
    `You lack the right to ${describeRight(right)}. Whoever administers the namespace gives it: ${grantCommand({ username }, right)}`,
  );
}

export function rightUnknown(right: Right): Refusal {
  return refusal(
    'RightsUnavailable',
    `The API server could not be asked whether you may ${describeRight(right)}, so nothing was done. Try again in a minute.`,
  );
}

export function serverNotFound({ namespace, name }: ServerRef, names: readonly string[]): Refusal {
  const suggestions = nearestNames(name, names);
  const hint =
    suggestions.length > 0
      ? ` Did you mean ${suggestions.join(' or ')}?`
      : ` Those that there are: kubectl mcpkeys list -n ${namespace}`;
  const message = `There is no McpServer ${name} in namespace ${namespace}.${hint}`;
  return refusal('ServerNotFound', message, suggestions);
}

export function serverNeedsNoKey(name: string): Refusal {
  return refusal('ServerNeedsNoKey', `McpServer ${name} takes no user keys. There is nothing to set.`);
}

export function serverSharesKey(name: string): Refusal {
  return refusal(
    'ServerNeedsNoKey',
    `McpServer ${name} is used with a key of the organization, and no key of a user is used there. There is nothing to set.`,
  );
}

export function headerNotDeclared(server: string, header: string, declared: readonly string[]): Refusal {
  const suggestions = nearestNames(header, declared);
  const message = `McpServer ${server} does not take ${header}. It takes ${declared.join(', ')}.`;
  return refusal('HeaderNotDeclared', message, suggestions);
}

export function headerMissing(declared: readonly string[]): Refusal {
  return refusal('HeaderMissing', `No key was given. Give one for ${declared.join(', ')}.`);
}

/** The upstream was asked, and a policy lets no key be stored that it does not accept. */
export function keyRejected({ message, help }: KeyCheck): Refusal {
  return refusal('KeyRejected', `${message} Nothing was stored.${help === undefined ? '' : ` ${help}`}`);
}

export function keyNotChecked({ message }: KeyCheck): Refusal {
  return refusal(
    'KeyNotChecked',
    `${message} A policy lets no key be stored that was not tried, so nothing was stored. Try again in a few minutes.`,
  );
}

export function keyNotSet(server: string): Refusal {
  return refusal('HeaderMissing', `No key for ${server} is stored. Set one: kubectl mcpkeys set ${server}`);
}

/** What has ended already is of no use to anybody, so it is a slip. */
export function endInThePast(at: Date, now: Date): Refusal {
  return refusal(
    'ExpiryRefused',
    `The key is said to have ended at ${at.toISOString()}; now it is ${now.toISOString()}. Nothing was stored.`,
  );
}

/** The time is one that the value says itself. */
export function hasEnded(header: string, at: Date): Refusal {
  return refusal(
    'ExpiryRefused',
    `${header}: this key ended at ${at.toISOString()}, as it says itself. Make a new one where you got it. Nothing was stored.`,
  );
}

/** `message` comes from `checkKeyValue` and holds nothing of the value. */
export function invalidFormat(header: string, message: string): Refusal {
  return refusal('InvalidFormat', `${header}: ${message}`);
}
