import type { BucketState } from './bucket.ts';

/** What is known of one user at one server, by bucket. */
export type Counts = Readonly<Record<string, BucketState>>;

/** Decides on what is stored. Pure: it may be asked again when somebody else wrote in between. Undefined: nothing is to be written. */
export type Step = (counts: Counts | undefined) => Counts | undefined;

/** Whose counts. Organizations share no room, so that none can fill that of another. */
export interface CountedUser {
  readonly organization: string;
  /** Of server and user. */
  readonly key: string;
}

/** Where limits are counted: one truth for all replicas, which survives every one of them. */
export interface LimitStore {
  /** Resolves when what `step` gave last is stored. @throws LimitStoreError */
  update(user: CountedUser, step: Step): Promise<void>;
  close(): Promise<void>;
}

/** Counts cannot be kept: what happens then, a policy says (`onStoreFailure`). */
export class LimitStoreError extends Error {
  readonly code: LimitStoreErrorCode;

  constructor(code: LimitStoreErrorCode, options?: ErrorOptions) {
    super(messages[code], options);
    this.name = 'LimitStoreError';
    this.code = code;
  }
}

export type LimitStoreErrorCode = 'Unavailable' | 'Contended' | 'Full' | 'Busy';

const messages: Readonly<Record<LimitStoreErrorCode, string>> = {
  Unavailable: 'the store of limits does not answer',
  Contended: 'too many replicas write the same counts',
  Full: 'the store of limits has no room',
  Busy: 'too many counts wait to be written',
};
