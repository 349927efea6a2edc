import type { AccessReviews, AccessVerdict, ClusterUser } from './access-reviews.ts';
import type { Right } from './verbs.ts';

/** Whether somebody may do what they ask for. */
export type Permission =
  | { readonly kind: 'granted' }
  | { readonly kind: 'missing'; readonly right: Right }
  | { readonly kind: 'unknown'; readonly right: Right };

/** Servers that are asked about one by one, of somebody who has a right on single ones. */
const namesMax = 200;
const questionsAtATime = 8;

type Reviews = Pick<AccessReviews, 'ask'>;

/** Every right of `needed` has to be there; they are of one verb and namespace. The first that is not is named. */
export async function permissionFor(
  reviews: Reviews,
  user: ClusterUser,
  needed: readonly Right[],
): Promise<Permission> {
  const verdicts = await verdictsOf(reviews, user, needed);
  const first = (verdict: AccessVerdict): Right | undefined => needed[verdicts.indexOf(verdict)];
  const unknown = first('unknown');
  if (unknown !== undefined) return { kind: 'unknown', right: unknown };
  const missing = first('denied');
  return missing === undefined ? { kind: 'granted' } : { kind: 'missing', right: missing };
}

/** Those of `rights` that are there, of the first two hundred. */
export async function grantedOf(
  reviews: Reviews,
  user: ClusterUser,
  rights: readonly Right[],
): Promise<readonly Right[] | 'unknown'> {
  const verdicts = await verdictsOf(reviews, user, rights);
  if (verdicts.includes('unknown')) return 'unknown';
  return rights.filter((_, index) => verdicts[index] === 'allowed');
}

/** One question where the right on the whole namespace is there, which is usual; else one for each. */
async function verdictsOf(
  reviews: Reviews,
  user: ClusterUser,
  rights: readonly Right[],
): Promise<readonly AccessVerdict[]> {
  const [first] = rights;
  if (first === undefined) return [];
  if (rights.length > 1) {
    const { verb, namespace } = first;
    const whole = await reviews.ask(user, { verb, namespace });
    if (whole !== 'denied') return rights.map(() => whole);
  }
  const verdicts: AccessVerdict[] = [];
  for (let start = 0; start < Math.min(rights.length, namesMax); start += questionsAtATime) {
    const some = rights.slice(start, Math.min(start + questionsAtATime, namesMax));
    verdicts.push(...(await Promise.all(some.map((right) => reviews.ask(user, right)))));
  }
  return rights.map((_, index) => verdicts[index] ?? 'denied');
}
