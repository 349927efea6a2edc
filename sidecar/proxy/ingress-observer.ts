/** Of what happens on connections of clients outside of requests. */
export interface IngressObserver {
  /** What came was no request that layers could answer. */
  unreadable(status: number): void;
  /** A connection was ended although its client might have used it on. */
  connectionCut(reason: CutReason): void;
}

/**
 * `tooSlow`: what waited for its client took too much memory. `displaced`: it had no request, and another one needed its place. `refused`:
 * there was no place for it.
 */
export type CutReason = 'tooSlow' | 'displaced' | 'refused';
