import type { BoundToken, PodIdentifier, PodRefusal, VerifiedPod } from '#operator/identity/pod-identity.ts';
import type { PodAction } from '#operator/identity/pod-roles.ts';
import { TokenReviewUnavailableError } from '#operator/identity/token-review.ts';

import type { Denial, Denials } from './denials.ts';
import { BrokerError } from './errors.ts';

/** Refusals that a fresh token may cure; for all others the pod is known and may not do this. */
const unauthenticated: ReadonlySet<PodRefusal> = new Set([
  'TokenMissing',
  'NotAuthenticated',
  'ReviewError',
  'AudienceMismatch',
  'UserMissing',
]);

export interface PodGateOptions {
  readonly pods: Pick<PodIdentifier, 'checkToken' | 'identify'>;
  readonly denials: Pick<Denials, 'record'>;
}

export interface PodCall extends PodAction {
  readonly token: string | undefined;
  /** For the record: `lease`, `watch`, `audit`. */
  readonly action: string;
}

interface Refused {
  readonly reason: PodRefusal;
  readonly pod?: Pick<BoundToken, 'uid' | 'namespace'>;
}

/** First question of every call: which pod is this, and may it act for that server. */
export class PodGate {
  readonly #options: PodGateOptions;

  constructor(options: PodGateOptions) {
    this.#options = options;
  }

  /**
   * Lets nobody in who has no pod token at all, before a body is read for them.
   * @throws BrokerError ERR_POD_UNAUTHENTICATED, ERR_POD_FORBIDDEN, ERR_IDENTITY_UNAVAILABLE
   */
  async knock(token: string | undefined, action: string): Promise<void> {
    const check = await ask(() => this.#options.pods.checkToken(token));
    if (check.kind === 'refused') await this.#refuse(check, { action });
  }

  /** @throws BrokerError ERR_POD_UNAUTHENTICATED, ERR_POD_FORBIDDEN, ERR_IDENTITY_UNAVAILABLE */
  async admit(call: PodCall): Promise<VerifiedPod> {
    const result = await ask(() => this.#options.pods.identify(call));
    if (result.kind === 'verified') return result.pod;
    const { action, server } = call;
    return this.#refuse(result, { action, server });
  }

  async #refuse({ reason, pod }: Refused, asked: Pick<Denial, 'action' | 'server'>): Promise<never> {
    const error = new BrokerError(unauthenticated.has(reason) ? 'ERR_POD_UNAUTHENTICATED' : 'ERR_POD_FORBIDDEN');
    const denial = { ...asked, reason, message: error.message };
    // The server that is asked for is anybody's to choose, the namespace of a pod is not.
    await this.#options.denials.record(pod?.uid ?? '', denial, `namespace ${pod?.namespace ?? ''}`);
    throw error;
  }
}

async function ask<T>(question: () => Promise<T>): Promise<T> {
  try {
    return await question();
  } catch (cause) {
    if (cause instanceof TokenReviewUnavailableError) throw new BrokerError('ERR_IDENTITY_UNAVAILABLE', { cause });
    throw cause;
  }
}
