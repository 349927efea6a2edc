/**
 * Orders two resourceVersions. They are decimal integers (guaranteed since Kubernetes 1.35, true of etcd before) that may be longer
 * than a JS number holds. Anything else compares as equal: an unknown order must never make us drop an event.
 */
export function compareResourceVersions(a: string | undefined, b: string | undefined): number {
  if (a === undefined || b === undefined || !decimal.test(a) || !decimal.test(b)) return 0;
  if (a.length !== b.length) return a.length - b.length;
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** No leading zeros, so that the longer one is the larger one. */
const decimal = /^(0|[1-9]\d*)$/;

export function laterResourceVersion(a: string, b: string | undefined): string {
  return b !== undefined && compareResourceVersions(a, b) < 0 ? b : a;
}
