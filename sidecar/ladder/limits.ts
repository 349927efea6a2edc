/** Bounds of everything that waits for a user. */
export interface LadderLimits {
  /** Longest that a retry is held for a client that takes an event stream. Official clients give a request 60 s. */
  readonly holdMsMax: number;
  /** The same for a client that does not, and so sees nothing until the answer. */
  readonly silentHoldMsMax: number;
  /** How often the broker is asked all the same, in case a notice was missed. */
  readonly pollMs: number;
  /** Comments on a stream that waits. */
  readonly commentEveryMs: number;
  /** Retries held at a time, of all users and of one, and the bytes of their bodies. */
  readonly heldMax: number;
  readonly heldPerUserMax: number;
  readonly heldBytesMax: number;
  /** How often one call is interrupted to ask; official clients give up after 10 rounds, without saying why. */
  readonly roundsMax: number;
  /** Largest body of a call that is interrupted: it is read once more for that, and again when it comes back with our state. */
  readonly askedBytesMax: number;
  /** How long a client may keep our state. */
  readonly stateMsMax: number;
}

export const ladderLimits: LadderLimits = {
  holdMsMax: 45_000,
  silentHoldMsMax: 25_000,
  pollMs: 5_000,
  commentEveryMs: 15_000,
  heldMax: 256,
  heldPerUserMax: 8,
  heldBytesMax: 8_388_608,
  roundsMax: 8,
  askedBytesMax: 1_048_576,
  stateMsMax: 900_000,
};
