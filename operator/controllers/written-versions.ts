import type { KubeObject } from '#operator/kube/resource.ts';

/** How long we wait for the cache to show our own write before deciding from what it has. */
const waitMsMax = 5_000;
const entriesMax = 20_000;

/**
 * Read-your-own-writes barrier (KEP-5647): remembers which resourceVersion we wrote, so that nothing is decided from a cache
 * that has not seen it yet. Versions of one resource are comparable integers.
 */
export class WrittenVersions {
  readonly #written = new Map<string, { readonly version: bigint; readonly atMs: number }>();
  readonly #nowMs: () => number;

  /** `nowMs` is monotonic. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  record(object: KubeObject): void {
    const version = parseVersion(object);
    const uid = object.metadata.uid;
    if (version === undefined || uid === undefined) return;
    this.#written.delete(uid);
    this.#written.set(uid, { version, atMs: this.#nowMs() });
    if (this.#written.size > entriesMax) this.#dropOldest();
  }

  /** Whether `observed` is older than what we wrote, and not because the cache has been behind for too long. */
  isBehind(observed: KubeObject): boolean {
    const uid = observed.metadata.uid ?? '';
    const written = this.#written.get(uid);
    if (written === undefined) return false;
    const version = parseVersion(observed);
    const expired = this.#nowMs() - written.atMs > waitMsMax;
    if (version !== undefined && version < written.version && !expired) return true;
    this.#written.delete(uid);
    return false;
  }

  #dropOldest(): void {
    for (const uid of this.#written.keys()) {
      this.#written.delete(uid);
      return;
    }
  }
}

function parseVersion(object: KubeObject): bigint | undefined {
  const text = object.metadata.resourceVersion;
  return text !== undefined && /^\d{1,20}$/.test(text) ? BigInt(text) : undefined;
}
