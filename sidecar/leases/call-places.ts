import { PeerCounts } from './peer-counts.ts';

/** Most questions to the broker at a time. */
export const leaseCallsMax = 256;
/** Of them, for credentials that nobody has vouched for lately: the rest is kept for users who were here before. */
export const strangerCallsMax = 192;
/** Of those, for one address: whoever guesses from one place leaves places for others. */
export const peerCallsMax = 64;

export interface Asker {
  /** The broker has said not long ago whose credential this is. */
  readonly isKnown: boolean;
  /** Where the connection comes from. */
  readonly peer: string;
}

/** Portions out the questions to the broker. Anybody can make one be asked, so strangers share a part of them. */
export class CallPlaces {
  readonly #strangers = new PeerCounts();
  #taken = 0;

  /** Takes a place, to be given back with the same argument; false when there is none. */
  take(asker: Asker): boolean {
    if (this.#taken >= leaseCallsMax || !(asker.isKnown || this.#hasPlaceFor(asker.peer))) return false;
    this.#taken += 1;
    if (!asker.isKnown) this.#strangers.add(asker.peer, 1);
    return true;
  }

  giveBack(asker: Asker): void {
    this.#taken -= 1;
    if (!asker.isKnown) this.#strangers.add(asker.peer, -1);
  }

  #hasPlaceFor(peer: string): boolean {
    return this.#strangers.all < strangerCallsMax && this.#strangers.of(peer) < peerCallsMax;
  }
}
