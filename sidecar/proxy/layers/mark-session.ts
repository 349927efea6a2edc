import type { ServerRef } from '../../contract/lease.ts';
import type { PolicySnapshot } from '../../contract/watch.ts';
import { Fields } from '../../http1/fields.ts';
import { initialize } from '../../mcp/methods.ts';
import { ProxyError } from '../errors.ts';
import type { ClassifiedRequest, Layer, ProxyResponse } from '../exchange.ts';
import type { Ownership } from '../ownership.ts';
import { SessionMarks } from '../session-marks.ts';
import { hashOf, ownerOf } from '../sessions.ts';
import type { OpensUrls } from './bind-session.ts';

export const sessionHeader = 'mcp-session-id';

export interface MarkSessionOptions {
  readonly server: ServerRef;
  readonly policy: () => PolicySnapshot | undefined;
  readonly ownership: Ownership;
  readonly opensUrls: OpensUrls;
}

/**
 * Gives clients ids of sessions that hold for their user alone, whichever replica of a gateway or pod of a server a request reaches,
 * and takes no other. The server sees its own ids. Without a key for that (`sessionKey`), ids stay as they are, and what this
 * proxy remembers decides.
 */
export function markSession(options: MarkSessionOptions): Layer<ClassifiedRequest> {
  const marksOf = followKey(options);
  return (inner) =>
    function markSessionOfUser(request) {
      const marks = marksOf();
      if (marks === undefined) return inner(request);
      const user = ownerOf(request.record);
      const shown = request.headers.get(sessionHeader);
      if (shown !== null) return useMarked({ marks, user, request, options }, { shown, inner });
      return inner(request).then((response) => marked(response, { marks, user, request, options }));
    };
}

interface Step {
  readonly marks: SessionMarks;
  readonly user: string;
  readonly request: ClassifiedRequest;
  readonly options: MarkSessionOptions;
}

type Inner = (request: ClassifiedRequest) => Promise<ProxyResponse>;

async function useMarked(
  step: Step,
  { shown, inner }: { readonly shown: string; readonly inner: Inner },
): Promise<ProxyResponse> {
  const { marks, user, request, options } = step;
  const session = marks.read(shown, user);
  if (session === undefined) throw new ProxyError('SessionNotFound', 'Session not found');
  const { ownership } = options;
  // The mark remembers what a restart has forgotten, and what another replica knows.
  const key = hashOf(session.id);
  if (ownership.session(key) === undefined) {
    ownership.setSession(key, { owner: user, elicitsUrl: session.elicitsUrl });
  }
  const headers = new Fields(request.headers);
  headers.set(sessionHeader, session.id);
  const response = await inner({ ...request, headers });
  if (response.headers.get(sessionHeader) !== session.id || beginsSession(request)) return marked(response, step);
  response.headers.set(sessionHeader, shown);
  return response;
}

/** Clients take an id from any answer. */
function marked(response: ProxyResponse, { marks, user, request, options }: Step): ProxyResponse {
  const id = response.headers.get(sessionHeader);
  if (id === null) return response;
  const elicitsUrl = beginsSession(request) && options.opensUrls(request);
  response.headers.set(sessionHeader, marks.mark({ id, elicitsUrl }, user));
  return response;
}

function beginsSession({ message }: ClassifiedRequest): boolean {
  return message?.kind === 'request' && message.method === initialize;
}

function followKey({ policy, server }: MarkSessionOptions): () => SessionMarks | undefined {
  let current: { readonly key: string; readonly marks: SessionMarks } | undefined;
  return () => {
    const key = policy()?.sessionKey;
    if (key === undefined) return undefined;
    if (current?.key !== key) current = { key, marks: new SessionMarks(key, server) };
    return current.marks;
  };
}
