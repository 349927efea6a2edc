/** What is answered about approval. Never a key value. */

/** Whether a user may have a key at a server. */
export interface ApprovalView {
  readonly state: 'Requested' | 'Granted' | 'Refused';
  /** When it was asked for or decided. */
  readonly at: string;
  /** Who decided. */
  readonly by?: string;
  /** When a grant ends; absent: never. */
  readonly until?: string;
  /** In the words of who asked or decided. */
  readonly reason?: string;
  /** The user asks for more while the grant goes on. */
  readonly renewal?: { readonly at: string; readonly reason?: string };
}

export interface ApprovalUser {
  readonly issuer: string;
  readonly id: string;
  readonly name: string;
}

/** Somebody who waits for a decision. */
export interface WaitingUser {
  readonly server: string;
  /** The end of their UserKey's name: says who is meant, whatever they call themselves. */
  readonly key: string;
  readonly user: ApprovalUser;
  /** `NotAsked`: they have a key, and since then a policy asks for approval. `Ended`: their grant is over. */
  readonly waiting: 'Requested' | 'Renewal' | 'NotAsked' | 'Ended';
  readonly askedAt?: string;
  readonly reason?: string;
  /** Of a grant: when it ends, or has ended. */
  readonly until?: string;
  /** Why the requester cannot decide about it, in a sentence; absent: they can. */
  readonly undecidable?: string;
}

export type ApprovalAnswer =
  | { readonly operation: 'approval-request'; readonly server: string; readonly approval: ApprovalView }
  | {
      readonly operation: 'approval-list';
      readonly waiting: readonly WaitingUser[];
      /** How many wait beyond those that are listed. */
      readonly more: number;
    }
  | ApprovalDecided<'approval-grant'>
  | ApprovalDecided<'approval-refuse'>;

interface ApprovalDecided<Operation> {
  readonly operation: Operation;
  readonly server: string;
  readonly user: ApprovalUser;
  readonly approval: ApprovalView;
}
