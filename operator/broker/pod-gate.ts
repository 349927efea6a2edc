import type { PodIdentifier, PodRefusal, VerifiedPod } from '#operator/identity/pod-identity.ts';
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
    if (check.kind === 'refused') await this.#refuse(check.reason, '', { action });
  }

  /** @throws BrokerError ERR_POD_UNAUTHENTICATED, ERR_POD_FORBIDDEN, ERR_IDENTITY_UNAVAILABLE */
  async admit(call: PodCall): Promise<VerifiedPod> {
    const result = await ask(() => this.#options.pods.identify(call));
    if (result.kind === 'verified') return result.pod;
    const { action, server } = call;
    return this.#refuse(result.reason, result.pod?.uid ?? '', { action, server });
  }

  async #refuse(reason: PodRefusal, podUid: string, asked: Pick<Denial, 'action' | 'server'>): Promise<never> {
    const error = new BrokerError(unauthenticated.has(reason) ? 'ERR_POD_UNAUTHENTICATED' : 'ERR_POD_FORBIDDEN');
    await this.#options.denials.record(podUid, { ...asked, reason, message: error.message });
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
