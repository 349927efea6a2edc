import type { AccessToken } from '#crds/v1alpha1/generated/access-token.ts';
import type { AuditLog } from '#operator/audit/audit-log.ts';
import { uuidOf } from '#operator/audit/event-ids.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { isKubeError } from '#operator/kube/errors.ts';
import { accessTokens } from '#operator/kube/keyring-resources.ts';
import type { Log } from '#operator/kube/observers.ts';

import { tokenEvent } from './token-event.ts';
import { accessTokenLimits } from './token-limits.ts';

export interface TokenUsesOptions {
  /** Not fenced: tokens are used at every replica, and each writes nothing but the time. */
  readonly client: Pick<KubeClient, 'apply'>;
  readonly audit: Pick<AuditLog, 'append'>;
  readonly log: Log;
  readonly now: () => Date;
}

const fieldManager = 'mcp-keyring-token-uses';

/** Writes when tokens were used, rarely; nobody waits for it. That one was used for the first time goes on record. */
export class TokenUses {
  readonly #options: TokenUsesOptions;
  readonly #writes = new Map<string, Promise<void>>();

  constructor(options: TokenUsesOptions) {
    this.#options = options;
  }

  used(token: AccessToken): void {
    const { uid = '' } = token.metadata;
    const usedAtMs = Date.parse(token.status?.usedAt ?? '');
    const isFresh = this.#options.now().getTime() - usedAtMs < accessTokenLimits.usedAgainMs;
    if (isFresh || this.#writes.has(uid) || this.#writes.size >= accessTokenLimits.writesInFlightMax) return;
    this.#writes.set(
      uid,
      this.#write(token).finally(() => this.#writes.delete(uid)),
    );
  }

  /** Resolves when nothing is being written. */
  async close(): Promise<void> {
    await Promise.all(this.#writes.values());
  }

  async #write(token: AccessToken): Promise<void> {
    const { client, audit, log, now } = this.#options;
    const { apiVersion, kind, spec, metadata } = token;
    const { namespace = '', name, uid = '' } = metadata;
    try {
      if (token.status?.usedAt === undefined) {
        const id = uuidOf(`token.used/${uid}`);
        await audit.append(tokenEvent(token, { type: 'token.used', id, at: now(), actor: spec.owner.name }));
      }
      const status = { usedAt: now().toISOString() };
      const used = { apiVersion, kind, spec, metadata: { namespace, name, uid }, status };
      await client.apply(accessTokens, used, { fieldManager, subresource: 'status' });
    } catch (error) {
      if (isKubeError(error, 'NotFound', 'Conflict')) return;
      log.warn('the use of an access token could not be written down', error instanceof Error ? { error } : {});
    }
  }
}
