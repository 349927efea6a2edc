export interface BacklogLimits {
  /** Most bytes that wait for all clients together. */
  readonly bytesMax: number;
  /** Of one account, unless it is all one piece. */
  readonly accountBytesMax: number;
}

/**
 * The memory of a process that waits for clients: for them to take their answers, or to send the rest of what they began. Whose it is
 * says the account, a user or a peer. Where there is too much of it, the account with the most loses what has waited longest: who keeps
 * up with what is sent never has anything that is old.
 */
export class Backlog {
  readonly #limits: BacklogLimits;
  readonly #accounts = new Map<string, Account>();
  #bytes = 0;

  constructor(limits: BacklogLimits) {
    this.#limits = limits;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** `cut` lets go of what waits, and of whatever it is waiting for. */
  waiting(account: string, cut: () => void): Waiting {
    return new Waiting(this, account, cut);
  }

  /** @internal For `Waiting` alone. */
  changed(waiting: Waiting, byBytes: number): void {
    const account = this.#accounts.get(waiting.account) ?? newAccount();
    this.#bytes += byBytes;
    account.bytes += byBytes;
    if (waiting.bytes > 0) account.oldestFirst.add(waiting);
    else account.oldestFirst.delete(waiting);
    if (account.oldestFirst.size > 0) this.#accounts.set(waiting.account, account);
    else this.#accounts.delete(waiting.account);
    if (byBytes > 0) this.#cut(account);
  }

  #cut(account: Account): void {
    const { bytesMax, accountBytesMax } = this.#limits;
    while (account.bytes > accountBytesMax && account.oldestFirst.size > 1) cutOldest(account);
    while (this.#bytes > bytesMax) cutOldest(this.#largest());
  }

  #largest(): Account {
    let largest = newAccount();
    for (const account of this.#accounts.values()) if (account.bytes > largest.bytes) largest = account;
    return largest;
  }
}

interface Account {
  bytes: number;
  readonly oldestFirst: Set<Waiting>;
}

function newAccount(): Account {
  return { bytes: 0, oldestFirst: new Set() };
}

function cutOldest({ oldestFirst }: Account): void {
  const [oldest] = oldestFirst;
  oldest?.cut();
}

/** What waits in one place. */
export class Waiting {
  readonly account: string;
  readonly #backlog: Backlog;
  readonly #cut: () => void;
  #bytes = 0;

  constructor(backlog: Backlog, account: string, cut: () => void) {
    this.#backlog = backlog;
    this.account = account;
    this.#cut = cut;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** So much waits now. May end other things that wait, or this one. */
  hold(bytes: number): void {
    const byBytes = bytes - this.#bytes;
    if (byBytes === 0) return;
    this.#bytes = bytes;
    this.#backlog.changed(this, byBytes);
  }

  /** Ends what it stands for, and holds nothing more. */
  cut(): void {
    this.hold(0);
    this.#cut();
  }
}
