import { accessTokenHash, readAccessToken } from '#cli/contract/access-token.ts';
import type { ServerRef } from '#contract/lease.ts';
import type { Identification } from '#operator/identity/identification.ts';
import type { Tenancy } from '#operator/tenancy/tenancy.ts';

import { judgeToken, mistypedToken } from './judge-token.ts';
import type { AccessTokenIndex } from './token-index.ts';
import type { TokenUses } from './token-uses.ts';

export interface TokenIdentifierOptions {
  readonly index: Pick<AccessTokenIndex, 'find'>;
  readonly uses: Pick<TokenUses, 'used'>;
  readonly now: () => Date;
}

/**
 * Identifies users by access tokens, in this process alone: strangers who guess cost a hash each, and no time that is taken tells
 * them anything, as what is looked up is the hash of what they sent.
 */
export class TokenIdentifier {
  readonly #options: TokenIdentifierOptions;

  constructor(options: TokenIdentifierOptions) {
    this.#options = options;
  }

  /** Undefined: the credential is no access token. */
  identify(
    credential: string,
    server: ServerRef,
    organization: Extract<Tenancy, { kind: 'organization' }>,
  ): Identification | undefined {
    const reading = readAccessToken(credential);
    if (reading === 'somethingElse') return undefined;
    if (reading === 'mistyped') return mistypedToken;
    const { index, uses, now } = this.#options;
    const token = index.find(server.namespace, accessTokenHash(credential));
    const result = judgeToken({ token, server, organization, nowMs: now().getTime() });
    if (token !== undefined && result.kind === 'identified') uses.used(token);
    return result;
  }
}
