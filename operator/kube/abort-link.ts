/** One signal that aborts with the first of several, and that lets go of them: long-lived signals must not collect listeners. */
export interface AbortLink extends Disposable {
  readonly signal: AbortSignal;
}

export function linkAbort(...sources: readonly (AbortSignal | undefined)[]): AbortLink {
  const controller = new AbortController();
  const undo: (() => void)[] = [];
  for (const source of sources) {
    if (source === undefined) continue;
    if (source.aborted) {
      controller.abort(source.reason);
      break;
    }
    const abort = (): void => controller.abort(source.reason);
    source.addEventListener('abort', abort, { once: true });
    undo.push(() => source.removeEventListener('abort', abort));
  }
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      for (const release of undo) release();
    },
  };
}
