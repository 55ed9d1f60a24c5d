/** Names that a user may have meant by another one. */

/** In names longer than this, one or two slips still mean the same name. In shorter ones, only a letter that is missing or too many. */
const SHORT = 4;
const SHORTEST = 3;

/** May one name have been meant by the other? Case, and what separates words, does not count. */
export function isAlike(has: string, wanted: string): boolean {
  const [one, other] = [has, wanted].map((name) => name.toLowerCase().replaceAll(/[-_. ]/g, "")) as [string, string];
  const [length, apart] = [Math.min(one.length, other.length), Math.abs(one.length - other.length)];
  const most = length > SHORT ? 2 : length >= SHORTEST && apart === 1 ? 1 : 0;
  return one === other || (most > 0 && slips(one, other) <= most);
}

/** The number of letters to change, add or remove: Levenshtein's distance. */
function slips(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let i = 0; i < one.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < other.length; j++) {
      const same = one[i] === other[j] ? 0 : 1;
      next.push(Math.min((row[j] ?? 0) + same, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[other.length] ?? 0;
}
