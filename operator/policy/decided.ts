/** A value with the UserKeyPolicy that it is from; of several that say the same, the first by name. */
export interface Decided<T> {
  readonly value: T;
  readonly decidedBy: string;
}
