import type { CountedUser, LimitStore } from '#operator/limits/limit-store.ts';
import { takeAll } from '#operator/limits/take-all.ts';

const endMs = Date.now() + 3_600_000;

/** What a store grants a user of a limit for the day; `user` is of organization `acme` unless they are given whole. */
export async function takeOf(
  store: Pick<LimitStore, 'update'>,
  user: string | CountedUser,
  { max, wanted }: { readonly max: number; readonly wanted: number },
): Promise<number> {
  const rule = { rule: { bucket: 'd', per: 'Day', max }, bucket: { kind: 'day', max, endOf: () => endMs } } as const;
  let granted = 0;
  await store.update(typeof user === 'string' ? { organization: 'acme', key: user } : user, (counts) => {
    const taken = takeAll([rule], counts, { wishes: [{ bucket: 'd', wanted }], nowMs: Date.now() });
    granted = taken.response.kind === 'granted' ? (taken.response.blocks[0]?.granted ?? 0) : 0;
    return taken.counts;
  });
  return granted;
}
