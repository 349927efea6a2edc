import type { ServerRef } from '#contract/lease.ts';
import type { PodIdentifier, PodPurpose, PodRefusal, VerifiedPod } from '#operator/identity/pod-identity.ts';
import { TokenReviewUnavailableError } from '#operator/identity/token-review.ts';

import type { Denials } from './denials.ts';
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
  readonly pods: Pick<PodIdentifier, 'identify'>;
  readonly denials: Pick<Denials, 'record'>;
}

export interface PodCall {
  readonly token: string | undefined;
  readonly server: ServerRef;
  readonly purpose: PodPurpose;
  /** For the record: `lease`, `watch`, `audit`. */
  readonly action: string;
}

/** First question of every call: which pod is this, and may it act for that server. */
export class PodGate {
  readonly #options: PodGateOptions;

  constructor(options: PodGateOptions) {
    this.#options = options;
  }

  /** @throws BrokerError ERR_POD_UNAUTHENTICATED, ERR_POD_FORBIDDEN, ERR_IDENTITY_UNAVAILABLE */
  async admit(call: PodCall): Promise<VerifiedPod> {
    const result = await this.#identify(call);
    if (result.kind === 'verified') return result.pod;
    const code = unauthenticated.has(result.reason) ? 'ERR_POD_UNAUTHENTICATED' : 'ERR_POD_FORBIDDEN';
    const error = new BrokerError(code);
    await this.#options.denials.record(result.pod?.uid ?? '', {
      action: call.action,
      reason: result.reason,
      message: error.message,
      server: call.server,
    });
    throw error;
  }

  async #identify(call: PodCall): ReturnType<PodIdentifier['identify']> {
    try {
      return await this.#options.pods.identify(call);
    } catch (cause) {
      if (cause instanceof TokenReviewUnavailableError) throw new BrokerError('ERR_IDENTITY_UNAVAILABLE', { cause });
      throw cause;
    }
  }
}
