/** What every client does at every server, written so that a program in any language can do it. */
export type Step =
  | { readonly kind: 'tools' | 'resources' | 'prompts' }
  | { readonly kind: 'call' | 'prompt'; readonly name: string; readonly arguments?: Readonly<Record<string, string>> }
  | { readonly kind: 'read'; readonly uri: string };

/** Streamable HTTP, or the one of revision 2024-11-05. */
export type Transport = 'http' | 'sse';

export interface Place {
  readonly url: string;
  readonly authorization: string;
}

export interface Visit extends Place {
  readonly transport: Transport;
  /** `auto`: the newest era that both know; `legacy`: the handshake of revisions up to 2025-11-25. */
  readonly mode: 'auto' | 'legacy';
  readonly steps: readonly Step[];
}

/** First the revision and the server's name, then what each step gave; the form is the client's. */
export type Outcomes = readonly unknown[];

export type VisitAll = (visits: readonly Visit[]) => Promise<readonly Outcomes[]>;

export function failed(error: unknown): { error: string; message: string } {
  if (!(error instanceof Error)) throw error;
  return { error: error.name, message: error.message };
}
