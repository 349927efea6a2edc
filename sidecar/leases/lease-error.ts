/** Why there is no lease. None of them says anything about the user: a broker that answers is never an error. */
export type LeaseErrorCode =
  /** No watch stream yet, or none for too long: an invalidation could have been missed. */
  | 'NotWatching'
  /** The broker could not be reached, or did not answer in time, or not according to the contract. */
  | 'BrokerUnavailable'
  /** The broker knows no such server. */
  | 'ServerNotFound'
  /** The broker does not accept this pod. */
  | 'PodRefused'
  /** The broker does not take this request, for example because the pod shows too many bad credentials. */
  | 'RequestRefused'
  /** Too many lease requests are under way. */
  | 'TooManyCalls';

export class LeaseError extends Error {
  readonly code: LeaseErrorCode;

  constructor(code: LeaseErrorCode, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options);
    this.name = 'LeaseError';
    this.code = code;
  }
}
