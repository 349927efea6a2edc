import type { Fields } from './fields.ts';

/** An answer that is read bit by bit. */
export interface AnswerChunks {
  read(): Promise<Uint8Array | undefined>;
  cancel(): void;
}

export interface Answer {
  readonly status: number;
  readonly headers: Fields;
  readonly body: Uint8Array | AnswerChunks | undefined;
}

/** `account`: whose memory it is while it waits to be read. Absent: the peer's. */
export type OwnedAnswer = Answer & { readonly account?: string | undefined };
