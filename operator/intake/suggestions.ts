/** Names compared with what was asked for; more are not looked at. */
const candidatesMax = 500;
const suggestionsMax = 3;

/** The names that `wanted` may have been meant to be, nearest first; none when all are far off. */
export function nearestNames(wanted: string, names: readonly string[]): readonly string[] {
  const distanceMax = Math.max(2, Math.floor(wanted.length / 3));
  return names
    .slice(0, candidatesMax)
    .map((name) => ({ name, distance: editDistance(wanted.toLowerCase(), name.toLowerCase()) }))
    .filter(({ name, distance }) => distance <= distanceMax || name.startsWith(wanted))
    .toSorted((left, right) => left.distance - right.distance || (left.name < right.name ? -1 : 1))
    .slice(0, suggestionsMax)
    .map(({ name }) => name);
}

/** Insertions, deletions and substitutions between the two (Levenshtein), a row at a time. */
export function editDistance(left: string, right: string): number {
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let row = 1; row <= left.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= right.length; column += 1) {
      const substitution = (previous[column - 1] ?? 0) + (left[row - 1] === right[column - 1] ? 0 : 1);
      current.push(Math.min(substitution, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[right.length] ?? left.length;
}
