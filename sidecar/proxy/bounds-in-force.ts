import type { PolicySnapshot } from '../contract/watch.ts';

/** What a request to one server may take. */
export interface Bounds {
  /** Longest wait for a connection to the server. */
  readonly connectMsMax: number;
  /** To the whole head of its answer; `undefined`: a tool takes as long as it takes. */
  readonly answerMsMax: number | undefined;
  /** Largest body. */
  readonly bodyBytesMax: number;
}

/** Where a server says nothing. */
const bodyBytesDefault = 4_194_304;

/** Those of the policy that is in force at the moment of asking, and never more than `most`, which the proxy was started with. */
export function boundsInForce(policy: () => PolicySnapshot | undefined, most: Bounds): () => Bounds {
  let readOf: PolicySnapshot | undefined;
  let bounds = within(most, undefined);
  return () => {
    const current = policy();
    if (current !== readOf) {
      readOf = current;
      bounds = within(most, current);
    }
    return bounds;
  };
}

function within(most: Bounds, policy: PolicySnapshot | undefined): Bounds {
  const { connectMsMax, answerMsMax, bodyBytesMax = bodyBytesDefault } = policy?.bounds ?? {};
  return {
    connectMsMax: Math.min(connectMsMax ?? Infinity, most.connectMsMax),
    answerMsMax: lesser(answerMsMax, most.answerMsMax),
    bodyBytesMax: Math.min(bodyBytesMax, most.bodyBytesMax),
  };
}

function lesser(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return Math.min(one, other);
}
