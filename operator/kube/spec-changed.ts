import type { KubeObject } from './resource.ts';

/** Pure. Status writes do not count. Labels do: policies and organizations select by them. */
export function specChanged({
  object,
  previous,
}: {
  readonly object: Pick<KubeObject, 'metadata'>;
  readonly previous: Pick<KubeObject, 'metadata'>;
}): boolean {
  const [now, before] = [object.metadata, previous.metadata];
  return (
    now.generation !== before.generation ||
    now.uid !== before.uid ||
    JSON.stringify(now.labels) !== JSON.stringify(before.labels)
  );
}
